/** `ipshard who`: what it asks, and what it says of each answer. */
import { createServer, type IncomingMessage } from "node:http";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { execFile } from "node:child_process";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import type { HeldLease, Holders, HostAnswer } from "../../src/api/holder-schemas.ts";
import { readQuestion } from "../../src/cli/attribution/read-question.ts";
import { whoText } from "../../src/cli/attribution/who-text.ts";
import type { LoggedFlow } from "../../src/wire/flow-answer.ts";
import { testedProgram } from "../runner/tested-program.ts";

const AT_MS = Date.parse("2026-11-29T12:03:07Z");
const LEASE: HeldLease = {
  pool: "eu",
  host: "h1",
  firstPort: 5_312,
  lastPort: 5_375,
  epoch: 9,
  sinceMs: AT_MS - 60_000,
  untilMs: null,
  end: null,
};
const FLOW: LoggedFlow = {
  protocol: "tcp",
  tenant: "acme",
  senders: [{ client: "cart", clientAddress: "10.0.0.9", sinceMs: AT_MS - 1_000 }],
  destinations: [],
  startMs: AT_MS - 1_000,
  endMs: AT_MS + 1_000,
  cutOffMs: null,
  sent: 512,
  received: 9_100,
};
const LOG = {
  level: "flows",
  destinations: false,
  sinceMs: 1,
  flows: [FLOW],
  ended: [],
  blocks: [],
  translations: [],
  isComplete: true,
} as const;
const TRANSLATION = { first: 5_312, last: 5_375, startMs: AT_MS - 9_000, endMs: null, names: ["pods"] };
const NOBODY: Holders = {
  ip: "192.0.2.1",
  port: 5_312,
  atMs: AT_MS,
  throughMs: AT_MS,
  state: "nobody",
  reason: "not-leased",
  holders: [],
  before: null,
  after: null,
  knownSinceMs: AT_MS - 86_400_000,
};

function heldWith(
  flows: Partial<Omit<HostAnswer, "log">> & { log?: object | null },
  more: Partial<HeldLease> = {},
): string {
  const answer = { state: "answered", detail: null, log: LOG, ...flows } as HostAnswer;
  return whoText({ ...NOBODY, state: "held", reason: null, holders: [{ ...LEASE, ...more, flows: answer }] });
}

const HELD =
  "192.0.2.1:5312 at 2026-11-29T12:03:07.000Z: host h1 of pool eu, by lease 9 of ports 5312-5375, from 2026-11-29T12:02:07.000Z and still is.";

describe("what is said", () => {
  test("[AT8] of a port that was held names host, tenant, client and bytes", () => {
    expect(heldWith({})).toBe(
      `${HELD}\n- tcp: tenant acme, client cart at 10.0.0.9; from 2026-11-29T12:03:06.000Z until 2026-11-29T12:03:08.000Z, 512 bytes sent and 9100 received`,
    );
    expect(heldWith({}, { untilMs: AT_MS + 5_000, end: "released" })).toContain(
      "until 2026-11-29T12:03:12.000Z (released).",
    );
  });

  test("[AT9] of a second says that it was one", () => {
    const second: Holders = {
      ...NOBODY,
      throughMs: AT_MS + 999,
      state: "held",
      reason: null,
      holders: [
        {
          ...LEASE,
          flows: {
            state: "answered",
            detail: null,
            log: { ...LOG, flows: [], ended: [], blocks: [], translations: [] },
          },
        },
      ],
    };
    expect(whoText(second).split("\n")).toEqual([
      expect.stringMatching(/^192\.0\.2\.1:5312 in the second from 2026-11-29T12:03:07Z: host h1 of pool eu/),
      "Nothing used the port in that second, as its flow log says.",
    ]);
  });

  test.each([
    [{ log: { ...LOG, flows: [] } }, "Nothing used the port at that time, as its flow log says."],
    [
      { log: { ...LOG, flows: [], level: "blocks" } },
      "h1 logged only its blocks then: which client used the port is not known. With --flow-log flows it is.",
    ],
    // Of what the kernel translates no flow is logged: that there is none says nothing.
    ...(["blocks", "flows"] as const).map(
      (level) =>
        [
          { log: { ...LOG, flows: [], level, translations: [TRANSLATION] } },
          "The port was translated for senders of pods on h1, by its kernel, from 2026-11-29T12:02:58.000Z and still was when it was asked. " +
            "Which of them used it no log of ipshard says: look at what h1 keeps of the events of its tracking table (conntrack -E, ulogd).",
        ] as const,
    ),
    [
      { log: { ...LOG, flows: [], level: "off" } },
      "h1 logged nothing then (--flow-log off): which client used the port is not known.",
    ],
    [
      { log: { ...LOG, flows: [], level: "unknown", sinceMs: AT_MS } },
      "Which client used the port is not known: the flow log of h1 begins at 2026-11-29T12:03:07.000Z.",
    ],
    [
      { log: { ...LOG, flows: [], level: "unknown", sinceMs: null } },
      "Which client used the port is not known: the flow log of h1 has nothing.",
    ],
    [
      { log: null, state: "unreachable", detail: "The host is not heard." },
      "h1 cannot be asked which client used the port (The host is not heard.). Ask again when it is there.",
    ],
    [
      { log: null, state: "refused", detail: "attribution-busy" },
      "h1 does not say which client used the port (attribution-busy).",
    ],
    [
      { log: null, state: "host-unknown" },
      "Its pool knows h1 no more, so nobody can be asked which client used the port. If its disk is there still: the flow log is in its state directory.",
    ],
  ] as const)("[AT8] of a host that answers %j says why no client is named", (flows, sentence) => {
    expect(heldWith(flows)).toBe(`${HELD}\n${sentence}`);
  });

  test("[AT8] of flows tells several tenants, what has ended, what was cut off, and what is left out", () => {
    const other: LoggedFlow = { ...FLOW, tenant: "other", endMs: null, sent: null, received: null };
    const killed = { ...other, cutOffMs: AT_MS + 9_000 };
    const own: LoggedFlow = {
      ...FLOW,
      tenant: "",
      senders: [{ client: null, clientAddress: null, sinceMs: 1 }],
    };
    const text = heldWith({
      log: { ...LOG, flows: [FLOW, other, killed, own], ended: [FLOW], isComplete: false },
    });
    expect(text.split("\n").slice(1)).toEqual([
      "Several tenants used the port then, towards different destinations. Which one went where was not logged (--flow-log-destinations).",
      expect.stringContaining("tenant acme"),
      expect.stringMatching(/tenant other, .* and not over when the host was asked$/),
      expect.stringMatching(/until its process died, which was before 2026-11-29T12:03:16.000Z$/),
      expect.stringContaining("tcp: the host itself, to try its uplink; from"),
      "Shortly before that had ended:",
      expect.stringContaining("tenant acme"),
      "There were more than an answer holds: ask with --to, or with --protocol.",
    ]);
  });

  test("[AT8] of a port that nobody held tells who had it before and after", () => {
    const before = { ...LEASE, untilMs: AT_MS - 4_000, end: "expired" } as const;
    const after = { ...LEASE, host: "h2", sinceMs: AT_MS + 600_000 };
    expect(whoText({ ...NOBODY, before, after }).split("\n")).toEqual([
      "192.0.2.1:5312 at 2026-11-29T12:03:07.000Z: nobody. It was free, or in quarantine.",
      expect.stringMatching(/^Before that it was h1's, .*: 4 s earlier\.$/),
      expect.stringMatching(/^Next it was h2's, .*: 10 min later\.$/),
    ]);
    expect(whoText({ ...NOBODY, port: 443, reason: "port-reserved" })).toContain("nobody. Ports below 1024");
  });

  test("[AT8] of what is not known says so, and since when it is", () => {
    const unknown = { ...NOBODY, ip: "2001:db8::1", state: "unknown" } as const;
    expect(whoText({ ...unknown, reason: "before-history" })).toBe(
      "[2001:db8::1]:5312 at 2026-11-29T12:03:07.000Z: unknown. All that is known of 2001:db8::1 begins at 2026-11-28T12:03:07.000Z.",
    );
    expect(whoText({ ...unknown, reason: "not-yet" })).toContain("unknown. That time has not come yet.");
  });

  test("[AT8] lets no host write over what others have said", () => {
    const tenant = "acme\u001b[2J\nnobody";
    expect(heldWith({ log: { ...LOG, flows: [{ ...FLOW, tenant }] } })).toContain("tenant acme?[2J?nobody");
  });
});

describe("what is asked", () => {
  test.each([
    ["192.0.2.1:5312", { ip: "192.0.2.1", port: "5312" }],
    ["[2001:DB8:0:0::1]:5312", { ip: "2001:db8::1", port: "5312" }],
  ])("[AT8] %s", (place, expected) => {
    expect(readQuestion(place, {})).toMatchObject(expected);
  });

  test("[AT8] may name a time, a protocol and a destination", () => {
    const question = readQuestion("192.0.2.1:5312", {
      at: "2026-11-29T12:03:07Z",
      protocol: "udp",
      to: "[2001:DB8::5]:53",
    });
    expect(question).toMatchObject({
      at: "2026-11-29T12:03:07Z",
      protocol: "udp",
      destination: "[2001:db8::5]:53",
    });
  });

  test.each([
    ["192.0.2.1", {}],
    ["example.com:80", {}],
    ["192.0.2.01:80", {}],
    ["192.0.2.1:70000", {}],
    ["192.0.2.1:80", { at: "yesterday" }],
    ["192.0.2.1:80", { protocol: "sctp" }],
    ["192.0.2.1:80", { to: "example.com:443" }],
    ["192.0.2.1:80", { to: "203.0.113.5:0" }],
  ])("[AT8] %s with %j is refused", (place, words) => {
    expect(() => readQuestion(place, words)).toThrow(expect.objectContaining({ code: "option-invalid" }));
  });
});

describe("the command", () => {
  const closing: (() => unknown)[] = [];
  afterEach(async () => {
    for (const close of closing.splice(0)) await close();
  });

  test("[AT8] asks the edge as an administrator, and prints for people or for machines", async () => {
    const asked: IncomingMessage[] = [];
    const server = createServer((request, response) => {
      asked.push(request);
      response.end(JSON.stringify(NOBODY));
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    closing.push(() => server.close());
    const directory = await mkdtemp(join(tmpdir(), "who-"));
    closing.push(() => rm(directory, { recursive: true }));
    const tokenFile = join(directory, "token");
    await writeFile(tokenFile, "a-token\n");
    const edge = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const run = (...more: string[]): Promise<string> =>
      new Promise((resolve, reject) => {
        const program = testedProgram("cli");
        const args = ["who", "192.0.2.1:5312", "--edge", edge, "--token-file", tokenFile, ...more];
        execFile(process.execPath, [program, ...args], (fault, stdout) =>
          fault ? reject(fault) : resolve(stdout),
        );
      });
    expect(await run("--at", "2026-11-29T12:03:07Z")).toBe(`${whoText(NOBODY)}\n`);
    expect(JSON.parse(await run("--json"))).toEqual(NOBODY);
    expect(asked.map(({ url }) => url)).toEqual([
      "/v1/holders?ip=192.0.2.1&port=5312&at=2026-11-29T12%3A03%3A07Z",
      "/v1/holders?ip=192.0.2.1&port=5312",
    ]);
    expect(asked[0]!.headers["egress-authorization"]).toBe("Bearer a-token");
  });
});

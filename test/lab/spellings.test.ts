/**
 * Every spelling of a destination, by every way through a host, where what is private really answers: on the
 * host's own network, on the host itself, and where the edge is. The kernels say what began there.
 */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import type { Spelling } from "../spellings/spellings.ts";
import { unmapped } from "../../src/policy/embedded-addresses.ts";
import { isLiteral, POLICY_CODES } from "../spellings/ways.ts";
import { Deployment } from "./deployment.ts";
import { PacketWatch } from "./packet-watch.ts";
import { EDGE, hostOnManagement, SHARED_IPV4, SHARED_IPV6 } from "./plan.ts";
import { type Question, type Questions, WAYS } from "./policy-questions.ts";
import { until } from "./until.ts";
import {
  bothOf,
  INSIDE_IPS,
  isLinkLocal,
  LAB_SPELLINGS,
  meantBy,
  OWN_IPS,
  privateWiring,
  PUBLIC_IPS,
  REDIRECTING,
  SIZE,
} from "./private-networks.ts";

const PROXY_PORT = 1080;
const GATEWAY_PORT = 8800;
const EDGE_PORT = 8787;
/** Each way has a port of its own, none of which is ever leased. */
const PORTS = new Map(WAYS.map((way, at) => [way as Question["way"], 701 + at])).set("UDP", 721);
const TO_PLACES = "th dport 701-721";
const EVERY = [...WAYS, "UDP"] as const;
const HOST = hostOnManagement(1).ipv4;
/** What such ways take is a name or an address, and nothing that the URL standard alone reads. */
const BY_PLACE = new Set<Question["way"]>([
  "TCP at the gateway",
  "TCP at the edge",
  "CONNECT",
  "SOCKS5 by name",
  "UDP",
]);
/** An address, and what embeds it. */
const FORMS: readonly ((ip: string) => string)[] = [
  (ip) => ip,
  (ip) => `[::ffff:${ip}]`,
  (ip) => `[64:ff9b::${ip}]`,
  (ip) => `[2a00::5efe:${ip}]`,
];
/** What is said of what a way does not read. */
const UNREAD = /^(?:(?:url|request|response)-malformed|connect-target-invalid|socks-8|silent)$/;
/** No kernel connects to these from an address of the Internet: multicast, broadcast, what is of no machine, and what needs a zone. */
const UNREACHABLE = /^(?:ff|224\.|255\.|0\.0\.0\.[01]$|fe80:|febf:)/;
/** There nobody answers, for the guard lets nothing out from ports that are not leased. */
const SHARED = new Set([SHARED_IPV4, SHARED_IPV6]);
/** To a kernel it is an address of its own. */
const UNSPECIFIED = "::";

const isReachable = (ip: string): boolean => !UNREACHABLE.test(ip) && !SHARED.has(ip);
/** Private places that are reached as soon as nothing is refused. */
const REACHABLE = LAB_SPELLINGS.filter(
  (spelling) => spelling.dials === null && isReadAsUrl(spelling) && meantBy(spelling.host).every(isReachable),
);

let deployment: Deployment;

interface Asked {
  readonly spelling: Spelling;
  readonly question: Question;
  readonly answer: string;
}

beforeAll(async () => {
  deployment = await Deployment.start({
    ...SIZE,
    wiring: privateWiring(),
    allowed: [],
    proxyPort: PROXY_PORT,
    agentArgs: [`--dns=${EDGE.ipv4}:53`, "--connect-timeout=2000", "--drain-deadline=0"],
  });
  const { lab } = deployment;
  const program = join(import.meta.dirname, "record-server.ts");
  await lab.spawnNode("edge", program, [EDGE.ipv4, "53"]).waitFor("listening");
  for (const [role, ips] of [
    ["internet", PUBLIC_IPS],
    ["inside", INSIDE_IPS.filter((ip) => !isLinkLocal(ip))],
    ["edge", bothOf(EDGE)],
    ["h1", OWN_IPS],
  ] as const) {
    const [greeting, web] = [WAYS.filter(isOfBytes), WAYS.filter((way) => !isOfBytes(way))].map((ways) =>
      ways.map((way) => PORTS.get(way)).join(),
    );
    const args = [web!, greeting!, String(PORTS.get("UDP")), ips.join()];
    const origin = lab.spawnNode(role, join(import.meta.dirname, "reached-origin.ts"), args);
    await origin.waitFor("listening");
  }
}, 120_000);
beforeEach(() => deployment.tellIfTestFails());
afterAll(() => deployment?.destroy());

/** Ways that carry bytes of any kind, so that the destination may speak first. */
function isOfBytes(way: string): boolean {
  return /TCP|CONNECT|SOCKS/.test(way);
}

/** Of the family that the spelling's address has, so that it can be dialled. */
function addressFor({ host, dials }: Spelling): string {
  const isSix = (dials ?? meantBy(host)[0] ?? host).includes(":");
  return isSix ? SHARED_IPV6 : SHARED_IPV4;
}

/** Whether the way reads it as the URL standard does. */
function isRead(way: Question["way"], { host, isOfUrls }: Spelling): boolean {
  // Bytes beyond ASCII in a request's target are nobody's to decode.
  if (way === "the proxy") return /^[\x21-\x7e]+$/.test(host);
  return !BY_PLACE.has(way) || !isOfUrls;
}

function questionBy(
  way: Question["way"],
  spelling: Spelling,
  isOpen: boolean,
  port = PORTS.get(way)!,
): Question {
  const from = addressFor(spelling);
  const redirecting = from.includes(":") ? `[${REDIRECTING.ipv6}]` : REDIRECTING.ipv4;
  return {
    way,
    host: spelling.host,
    port,
    from,
    redirecting: `${redirecting}:${PORTS.get(way)}`,
    isAnswered: isRead(way, spelling) && (spelling.dials !== null || isOpen),
  };
}

let fileCount = 0;
async function ask(questions: readonly Question[]): Promise<string[]> {
  const { lab } = deployment;
  fileCount += 1;
  const [file, answers] = [`questions-${fileCount}.json`, `answers-${fileCount}.json`].map((name) =>
    join(lab.directory, name),
  );
  const gatewayToken = (await deployment.to("/", { host: "h1" })).headers["egress-authorization"]!;
  const fence = (host: string) => ({ host, port: PORTS.get("UDP")! });
  const all: Questions = {
    gateway: { ip: HOST, port: GATEWAY_PORT },
    proxy: { ip: HOST, port: PROXY_PORT },
    edge: { ip: EDGE.ipv4, port: EDGE_PORT },
    gatewayToken: gatewayToken.replace("Bearer ", ""),
    clientToken: await deployment.token("client", "tester"),
    questions,
    fences: { [SHARED_IPV4]: fence("8.8.8.8"), [SHARED_IPV6]: fence("2606:4700::1111") },
  };
  await writeFile(file!, JSON.stringify(all));
  const program = join(import.meta.dirname, "policy-client.ts");
  await lab.exec("edge", [process.execPath, program, file!, answers!]);
  return JSON.parse(await readFile(answers!, "utf8")) as string[];
}

/** Asks for all of these by all of these ways, at once. */
async function askAll(
  ways: readonly Question["way"][],
  spellings: readonly Spelling[],
  isOpen = false,
): Promise<Asked[]> {
  const asked = ways.flatMap((way) => {
    const fit = spellings.filter(({ host }) => way !== "SOCKS5 by address" || isLiteral(host));
    return fit.map((spelling) => ({ spelling, question: questionBy(way, spelling, isOpen) }));
  });
  const answers = await ask(asked.map(({ question }) => question));
  return asked.map(({ spelling, question }, at) => ({ spelling, question, answer: answers[at]! }));
}

/** All that the kernels see of what is asked from now on. */
async function watch() {
  const { lab } = deployment;
  const anybody = { hook: "prerouting", ipv4: "", ipv6: "" } as const;
  const local = { hook: "prerouting", ipv4: "iif lo", ipv6: "iif lo" } as const;
  const toPlaces = { hook: "prerouting", ipv4: TO_PLACES, ipv6: TO_PLACES } as const;
  const shared = {
    hook: "output",
    ipv4: `ip saddr ${SHARED_IPV4}`,
    ipv6: `ip6 saddr ${SHARED_IPV6}`,
  } as const;
  fileCount += 1;
  const [leaving, inside, own, edge, internet] = await Promise.all([
    PacketWatch.start(lab, "h1", `leaving_${fileCount}`, shared),
    PacketWatch.start(lab, "inside", `inside_${fileCount}`, anybody),
    PacketWatch.start(lab, "h1", `own_${fileCount}`, local),
    PacketWatch.start(lab, "edge", `edge_${fileCount}`, toPlaces),
    PacketWatch.start(lab, "internet", `internet_${fileCount}`, toPlaces),
  ]);
  return { leaving, internet, private: { inside, own, edge } };
}

/** Whether somebody reads it at all: a zone is for nobody but the host. */
function isReadAsUrl({ host }: Spelling): boolean {
  return URL.canParse(`http://${host}/`);
}

function placesFor(way: Question["way"], ips: Iterable<string>): Set<string> {
  const protocol = way === "UDP" ? "udp" : "tcp";
  return new Set([...ips].map((ip) => `${ip} ${protocol} ${PORTS.get(way)}`));
}

test("[DE1] every private place answers to the host's own programs", async () => {
  const caller = deployment.lab.spawnNode("h1", join(import.meta.dirname, "caller.ts"));
  for (const ip of [...INSIDE_IPS, ...OWN_IPS, ...bothOf(EDGE)]) {
    if (SHARED.has(ip)) continue;
    const place = isLinkLocal(ip) ? `${ip}%lan0` : ip;
    const said = await caller.ask(`connect ${place} 0 ${place} ${PORTS.get("CONNECT")}`);
    const [, at] = /^ok reached (\S+)$/.exec(said) ?? [];
    expect(at === undefined ? said : unmapped(at.replace(/%.*/, "")), place).toBe(ip);
  }
  expect(INSIDE_IPS.length).toBeGreaterThan(100);
  await caller.kill();
});

describe("where nothing special is allowed", () => {
  let watches: Awaited<ReturnType<typeof watch>>;
  let all: readonly Asked[];
  beforeAll(async () => {
    watches = await watch();
    all = await askAll(EVERY, LAB_SPELLINGS);
  }, 120_000);

  test("[DE1] [DE2] [DE4] [DE5] [DE6] by no way is anything private sent one packet", async () => {
    for (const [where, watched] of Object.entries(watches.private)) {
      expect([where, await watched.packetCount(), ...(await watched.places())]).toEqual([where, 0]);
    }
    for (const watched of [watches.leaving, watches.internet]) {
      const ips = [...(await watched.places())].map((place) => place.split(" ")[0]!);
      expect(ips.filter((ip) => !PUBLIC_IPS.includes(ip))).toEqual([]);
    }
  });

  test.each(EVERY)(
    "[DE1] [DE2] [DE4] by %s all that is private is refused by name, and all that is public is reached",
    async (way) => {
      const asked = all.filter(({ question }) => question.way === way);
      expect(asked.length).toBeGreaterThan(200);
      const wrong = asked.filter(({ spelling, answer }) => !isRight(way, spelling, answer));
      expect(wrong.map(({ spelling: { host, dials }, answer }) => ({ host, dials, answer }))).toEqual([]);

      const dialled = asked.flatMap(({ spelling }) => (isRead(way, spelling) ? (spelling.dials ?? []) : []));
      const hops = way.startsWith("a redirect") ? bothOf(REDIRECTING) : [];
      const expected = placesFor(way, [...dialled, ...hops]);
      expect(expected.size).toBeGreaterThan(30);
      expect(ofWay(way, await watches.leaving.places())).toEqual(expected);
      expect(ofWay(way, await watches.internet.places())).toEqual(expected);
    },
  );

  test("[UD9] each datagram for a private place is counted as dropped, and for no other reason", async () => {
    const before = await drops();
    const asked = await askAll(
      ["UDP"],
      LAB_SPELLINGS.filter(({ dials, isOfUrls }) => dials === null && !isOfUrls),
    );
    expect(asked.length).toBeGreaterThan(200);
    // A name server's answer may come when the association has ended already.
    const count = async (): Promise<number> =>
      (await drops())["destination-prohibited"]! - (before["destination-prohibited"] ?? 0);
    await vi.waitUntil(async () => (await count()) >= asked.length, { timeout: 10_000, interval: 100 });
    expect(await count()).toBe(asked.length);
    const after = await drops();
    expect({ ...after, "destination-prohibited": 0 }).toEqual({ ...before, "destination-prohibited": 0 });
  });
});

/** Places that a way's own port was reached at. */
function ofWay(way: Question["way"], places: Set<string>): Set<string> {
  return new Set([...places].filter((place) => place.endsWith(` ${PORTS.get(way)}`)));
}

async function drops(): Promise<Record<string, number>> {
  const url = `${deployment.gatewayOf("h1")}/v1/status`;
  const headers = { authorization: `Bearer ${await deployment.token("admin", "operator")}` };
  const { body } = await deployment.client.request({ url, headers });
  return (JSON.parse(body) as { udp: { drops: Record<string, number> } }).udp.drops;
}

/** Whether an answer is what the policy says, where nothing special is allowed. */
function isRight(way: Question["way"], spelling: Spelling, answer: string): boolean {
  const { dials } = spelling;
  const isUnderstood = isRead(way, spelling) && isReadAsUrl(spelling);
  if (dials !== null) {
    if (!isUnderstood) return UNREAD.test(answer) && !POLICY_CODES.includes(answer);
    return answer.startsWith("reached ") && unmapped(answer.slice(8)) === dials;
  }
  if (!isUnderstood) return UNREAD.test(answer) || POLICY_CODES.includes(answer);
  return answer === (way === "UDP" ? "silent" : "destination-prohibited");
}

describe("the same host, begun again with --allow for all addresses", () => {
  beforeAll(async () => {
    await deployment.end("h1", "SIGTERM");
    await deployment.startHost("h1", ["0.0.0.0/0", "::/0"]);
    await deployment.processOf("h1").waitFor("the gateway listens");
    await until(async () => {
      const ways = ["the gateway", "the edge"] as const;
      const open = LAB_SPELLINGS.filter(({ host }) => ["8.8.8.8", "[2606:4700::1111]"].includes(host));
      const answers = await ask(ways.flatMap((way) => open.map((one) => questionBy(way, one, true))));
      return answers.every((answer) => answer.startsWith("reached"));
    });
  });

  describe("control", () => {
    let watches: Awaited<ReturnType<typeof watch>>;
    let all: readonly Asked[];
    beforeAll(async () => {
      watches = await watch();
      all = await askAll(EVERY, REACHABLE, true);
    }, 120_000);

    test.each(EVERY)(
      "[DE7] by %s the same spellings reach the same private places, which are seen to be reached",
      async (way) => {
        const asked = all.filter(({ question, spelling }) => question.way === way && isRead(way, spelling));
        const wrong = asked.filter(({ spelling: { host }, answer }) => {
          const meant = meantBy(host).flatMap((ip) => (ip === UNSPECIFIED ? OWN_IPS : ip));
          return !meant.includes(answer.startsWith("reached ") ? unmapped(answer.slice(8)) : answer);
        });
        expect(wrong.map(({ spelling: { host }, answer }) => ({ host, answer }))).toEqual([]);
        const { inside, own, edge } = watches.private;
        for (const [watched, ips] of [
          [inside, INSIDE_IPS],
          [own, OWN_IPS],
          [edge, bothOf(EDGE)],
        ] as const) {
          const expected = placesFor(way, ips.filter(isReachable));
          expect(ofWay(way, await watched.places())).toEqual(expected);
        }
      },
    );
  });

  test("[DE14] by no way are the gateway, the proxy and the edge destinations, in whatever they are embedded", async () => {
    const { leaving } = await watch();
    const places = [
      ...[...FORMS.map((form) => form(EDGE.ipv4)), "edge.test"].map((host) => [host, EDGE_PORT] as const),
      ...[GATEWAY_PORT, PROXY_PORT].flatMap((port) => FORMS.map((form) => [form(HOST), port] as const)),
    ];
    const questions = EVERY.flatMap((way) =>
      places
        .filter(([host]) => way !== "SOCKS5 by address" || isLiteral(host))
        .map(([host, port]) => questionBy(way, { host, dials: null, isOfUrls: false }, false, port)),
    );
    const answers = await ask(questions);
    const wrong = questions
      .map(({ way, host, port }, at) => `${way}: ${host}:${port}: ${answers[at]}`)
      .filter((told) => !/: (?:destination-prohibited|silent)$/.test(told));
    expect(wrong).toEqual([]);
    const reached = [...(await leaving.places())].filter((place) => / (?:8787|8800|1080)$/.test(place));
    expect(reached).toEqual([]);
  });
});

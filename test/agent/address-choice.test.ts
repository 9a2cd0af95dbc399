/** Which of a host's addresses a request leaves from, when it says and when it does not. */
import { afterEach, beforeEach, expect, it } from "vitest";
import { AddressChoice } from "../../src/agent/admission/address-choice.ts";
import { PortBinder } from "../../src/agent/egress/port-binder.ts";
import type { Family } from "../../src/agent/egress/resolver.ts";
import { startOrigin, startRig } from "./gateway-rig.ts";

const FOUR = ["192.0.2.1", "192.0.2.2"];
const SIX = ["2001:db8::1", "2001:db8::2"];
const FAMILIES: Record<string, readonly Family[]> = {
  "four.test": [4],
  "six.test": [6],
  "both.test": [4, 6],
  "none.test": [],
};

let binder: PortBinder;
let choice: AddressChoice;
let asked: string[];

beforeEach(() => {
  binder = new PortBinder();
  asked = [];
  choice = new AddressChoice(binder, "main", (name) => {
    asked.push(name);
    return FAMILIES[name] ?? Promise.resolve([4]);
  });
});
afterEach(() => {
  for (const { ip } of binder.addresses()) binder.removeAddress(ip);
});

function serve(...ips: string[]): void {
  for (const ip of ips) {
    const ports = binder.addAddress(ip);
    ports.addBlock({ base: 4096, order: 6, epoch: 1 });
    ports.setTerm({ monotonicEndMs: Infinity, wallEndMs: Infinity });
  }
}

function chosen(header: string | null, host: string, times = 40): Set<string> {
  return new Set(
    Array.from({ length: times }, () => {
      const address = choice.choose(header, host);
      return address.ok ? address.value.ip : address.refusal.code;
    }),
  );
}

it("[GW8] leaves through the host's pool by its name alone, and by none that is like it", () => {
  serve(FOUR[0]!);
  expect(chosen("pool=main", "four.test", 1)).toEqual(new Set([FOUR[0]]));
  for (const like of ["mai", "m", "ain", "main2", "main-private", "my-main"]) {
    expect(chosen(`pool=${like}`, "four.test", 1), like).toEqual(new Set(["pool-unknown"]));
  }
});

it.each([
  ["192.0.2.99", FOUR],
  ["[2001:db8::99]", SIX],
  ["four.test", FOUR],
  ["six.test", SIX],
  ["both.test", [...FOUR, ...SIX]],
  // Whatever is wrong with these, the dial says it.
  ["none.test", [...FOUR, ...SIX]],
  ["unknown.test", [...FOUR, ...SIX]],
])("[RS5] towards %s an open request leaves from %j", (host, expected) => {
  serve(...FOUR, ...SIX);
  expect([...chosen(null, host, 200)].toSorted()).toEqual(expected);
});

it("[RS5] a session keeps its address towards all destinations of a family", () => {
  serve(...FOUR, ...SIX);
  for (const host of ["192.0.2.99", "[2001:db8::99]", "four.test", "six.test", "both.test"]) {
    expect(chosen('session="s"', host).size, host).toBe(1);
  }
  expect(chosen('session="s"', "four.test")).toEqual(chosen('session="s"', "192.0.2.99"));
});

it("[GW8] an address that is named is the one, whatever the destination has", () => {
  serve(...FOUR, ...SIX);
  expect(chosen('ip="2001:db8::1"', "192.0.2.99")).toEqual(new Set(["2001:db8::1"]));
  expect(chosen('ip="192.0.2.1"', "six.test")).toEqual(new Set(["192.0.2.1"]));
  expect(chosen('ip="192.0.2.7"', "four.test")).toEqual(new Set(["lease-lost"]));
});

it("[RS5] a name is asked for beforehand only when it matters", async () => {
  serve(...FOUR);
  expect(choice.prepare(null, () => "unknown.test")).toBeNull();
  expect(chosen(null, "[2001:db8::99]")).toEqual(new Set(FOUR));
  serve(...SIX);
  asked = [];
  expect(choice.prepare('ip="192.0.2.1"', () => "unknown.test")).toBeNull();
  expect(choice.prepare(null, () => "192.0.2.99")).toBeNull();
  expect(choice.prepare(null, () => "[2001:db8::99]")).toBeNull();
  expect(choice.prepare("no dictionary (", () => "unknown.test")).toBeNull();
  expect(choice.prepare(null, () => null)).toBeNull();
  expect(asked).toEqual([]);
  expect(choice.prepare(null, () => "four.test")).toBeNull();
  expect(await choice.prepare('session="s"', () => "unknown.test")).toEqual([4]);
});

it("[PF6] an address is selected by its own name, or by what the Internet calls it, the former first", () => {
  serve(...FOUR, ...SIX);
  binder.advertise({ [FOUR[0]!]: "203.0.113.9", [SIX[0]!]: SIX[1]! });
  expect(chosen('ip="203.0.113.9"', "four.test")).toEqual(new Set([FOUR[0]]));
  expect(chosen(`ip="${FOUR[0]}"`, "four.test")).toEqual(new Set([FOUR[0]]));
  expect(chosen(`ip="${SIX[1]}"`, "six.test")).toEqual(new Set([SIX[1]]));
  binder.advertise({});
  expect(chosen('ip="203.0.113.9"', "four.test")).toEqual(new Set(["lease-lost"]));
});

it("[GW8] a refusal names what was selected", () => {
  serve(FOUR[0]!);
  binder.addAddress(FOUR[1]!);
  const refusals = [
    "pool=other",
    'ip="192.0.2.7"',
    `ip="${FOUR[1]}"`,
    "colour=red",
    "country=de",
    `site=fra1, ip="${FOUR[0]}"`,
    "pool=main, pool=main",
    "(",
  ].map((header) => choice.choose(header, "four.test"));
  expect(refusals).toEqual([
    { ok: false, refusal: { code: "pool-unknown", detail: "other" } },
    { ok: false, refusal: { code: "lease-lost", detail: "192.0.2.7" } },
    // It is served, yet has neither term nor block.
    { ok: false, refusal: { code: "lease-lost", detail: "192.0.2.2" } },
    { ok: false, refusal: { code: "selection-key-unknown", detail: "colour" } },
    ...Array.from({ length: 2 }, () => ({
      ok: false,
      refusal: {
        code: "selection-key-unknown",
        detail: "A host takes no country and no site: select at the edge by them, or here by ip.",
      },
    })),
    expect.objectContaining({ ok: false }),
    { ok: false, refusal: expect.objectContaining({ code: "selection-malformed" }) as unknown },
  ]);
});

it("[GW8] an open request leaves from what is usable now, and from nowhere when nothing is", () => {
  expect(choice.choose(null, "four.test")).toEqual({ ok: false, refusal: { code: "lease-lost" } });
  serve(...FOUR);
  expect(chosen(null, "four.test")).toEqual(new Set(FOUR));
  binder.address(FOUR[0]!)!.setTerm(null);
  expect(chosen(null, "four.test")).toEqual(new Set([FOUR[1]]));
  binder.address(FOUR[1]!)!.drainBlock(1);
  expect(chosen(null, "four.test")).toEqual(new Set(["lease-lost"]));
});

it("[RS5] sessions spread over the addresses, and stay where they are when another goes", () => {
  const all = ["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"];
  serve(...all);
  // More than are remembered, so that what was forgotten has to be read again.
  const sessions = Array.from({ length: 1_500 }, (_, at) => `session="s${at}"`);
  const placed = (): string[] =>
    sessions.map((header) => {
      const address = choice.choose(header, "four.test");
      return address.ok ? address.value.ip : address.refusal.code;
    });
  const before = placed();
  for (const ip of all) expect(before.filter((one) => one === ip).length, ip).toBeGreaterThan(250);
  expect(placed()).toEqual(before);
  binder.removeAddress(all[1]!);
  const after = placed();
  expect(after).not.toContain(all[1]);
  for (const [at, ip] of before.entries()) if (ip !== all[1]) expect(after[at]).toBe(ip);
});

it("[RS5] at a gateway with both families no open request is lost to the wrong one", async () => {
  const rig = await startRig({
    allow: ["127.0.0.0/8", "::1/128"],
    records: { "four.test": ["127.0.0.1"], "six.test": ["::1"], "none.test": [] },
  });
  const six = rig.binder.addAddress("::1");
  six.addBlock({ base: 20_480, order: 6, epoch: 1 });
  six.setTerm({ monotonicEndMs: Infinity, wallEndMs: Infinity });
  const four = await startOrigin((_request, response) => response.end("4"), "127.0.0.1");
  const other = await startOrigin((_request, response) => response.end("6"), "::1", four.port);
  try {
    for (const [host, answer] of [
      ["127.0.0.1", "4"],
      ["[::1]", "6"],
      ["four.test", "4"],
      ["six.test", "6"],
    ]) {
      for (let time = 0; time < 8; time += 1) {
        const response = await rig.fetch(`http://${host}:${four.port}/`);
        expect(await response.text(), host).toBe(answer);
      }
    }
    const none = await rig.fetch(`http://none.test:${four.port}/`);
    expect(await none.json()).toMatchObject({ code: "dns-error" });
  } finally {
    rig.binder.removeAddress("::1");
    four.close();
    other.close();
    await rig.close();
  }
});

it("[GW26] passes over an address whose busiest destination has all its ports, while another has some", () => {
  serve(...FOUR);
  const [full, other] = FOUR.map((ip) => binder.address(ip)!);
  const held = Array.from({ length: 64 }, () => full!.take("tcp 198.51.100.1 443"));
  expect(held.every(({ ok }) => ok)).toBe(true);
  expect(chosen(null, "four.test")).toEqual(new Set([FOUR[1]]));
  expect(chosen(`ip="${FOUR[0]}"`, "four.test")).toEqual(new Set([FOUR[0]]));
  // With nothing left anywhere both are tried alike.
  for (let port = 0; port < 64; port += 1) other!.take("tcp 198.51.100.2 443");
  expect(chosen(null, "four.test", 200)).toEqual(new Set(FOUR));
  for (const taken of held) if (taken.ok) taken.value.release();
});

it("[GW26] draws addresses in proportion to their free ports", () => {
  serve(...FOUR);
  binder.address(FOUR[1]!)!.addBlock({ base: 8192, order: 10, epoch: 2 });
  let few = 0;
  for (let time = 0; time < 1_000; time += 1) {
    const address = choice.choose(null, "four.test");
    if (address.ok && address.value.ip === FOUR[0]) few += 1;
  }
  // 64 of 1,152 ports: 56 times on average.
  expect(few).toBeGreaterThan(10);
  expect(few).toBeLessThan(150);
});

it("[DE16] a token's addresses are the only ones that it leaves from", () => {
  serve(...FOUR, ...SIX);
  const among = (header: string | null, host: string, permitted: readonly string[]): Set<string> =>
    new Set(
      Array.from({ length: 40 }, () => {
        const address = choice.choose(header, host, permitted);
        return address.ok ? address.value.ip : address.refusal.code;
      }),
    );
  expect(among(null, "four.test", [FOUR[1]!])).toEqual(new Set([FOUR[1]]));
  expect(among(`ip="${FOUR[1]}"`, "four.test", [FOUR[1]!])).toEqual(new Set([FOUR[1]]));
  expect(among(`ip="${FOUR[0]}"`, "four.test", [FOUR[1]!])).toEqual(new Set(["ip-denied"]));
  // Of which it may be that the host does not have it, the edge should hear nothing else.
  expect(among('ip="192.0.2.77"', "four.test", [FOUR[1]!])).toEqual(new Set(["ip-denied"]));
  expect(among("session=a", "both.test", [FOUR[0]!, SIX[1]!]).size).toBe(1);
  // No other address, though the destination is of another family: the dial says so.
  expect(among(null, "six.test", [FOUR[0]!])).toEqual(new Set([FOUR[0]]));
  expect(among(null, "four.test", ["192.0.2.77"])).toEqual(new Set(["lease-lost"]));
  expect(among(null, "four.test", [])).toEqual(new Set(["lease-lost"]));
});

it("[DE16] an address that is advertised under another name may be permitted by either", () => {
  serve(...FOUR);
  binder.advertise({ [FOUR[0]!]: "198.51.100.1" });
  for (const permitted of [[FOUR[0]!], ["198.51.100.1"]]) {
    for (const header of [null, `ip="${FOUR[0]}"`, 'ip="198.51.100.1"']) {
      const chosenOne = choice.choose(header, "four.test", permitted);
      expect(chosenOne.ok && chosenOne.value.ip, `${header} by ${permitted.join()}`).toBe(FOUR[0]);
    }
    expect(choice.choose(`ip="${FOUR[1]}"`, "four.test", permitted).ok).toBe(false);
  }
});

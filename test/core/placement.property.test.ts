/** Where requests go, for any pool, selection and chance. */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { seededRandom } from "./address-story.ts";
import { chooseHost, rankIps } from "../../src/core/host-choice.ts";
import { rendezvousWeight } from "../../src/core/rendezvous.ts";
import type { PlacedIp, Placement } from "../../src/core/placement.ts";
import type { Selection } from "../../src/core/selection.ts";

const NAMES = ["anna", "bert", "cleo", "dora"];

const host = fc.record({
  host: fc.constantFrom(...NAMES),
  gateway: fc.constant("http://gateway.example"),
  portCount: fc.nat(64_512),
  busiestCount: fc.nat(64_512),
});
const country = fc.constantFrom("de", "nl");
const site = fc.constantFrom("fra1", "ams1", "Rack 7");
const placedIp: fc.Arbitrary<PlacedIp> = fc.record(
  {
    ip: fc.ipV4(),
    hosts: fc.uniqueArray(host, { selector: (placed) => placed.host, maxLength: 4 }),
    country,
    sites: fc.uniqueArray(site, { minLength: 1 }),
  },
  { requiredKeys: ["ip", "hosts"] },
);
const placement: fc.Arbitrary<Placement> = fc.record({
  pool: fc.constant("eu"),
  ips: fc.uniqueArray(placedIp, { selector: (placed) => placed.ip, maxLength: 8 }),
  resting: fc.subarray(NAMES),
});
const sticky = fc.constantFrom("soft" as const, "strict" as const);
const seed = fc.nat();
const tried = fc.subarray(NAMES).map((names): ReadonlySet<string> => new Set(names));

function ranked(where: Placement, selection: Selection, from: number): readonly PlacedIp[] {
  const outcome = rankIps(where, selection, seededRandom(from));
  return outcome.ok ? outcome.value : [];
}

describe("the order of addresses", () => {
  test("[PL1] without a session is the pool's own, from a random beginning around", () => {
    fc.assert(
      fc.property(placement, seed, (where, from) => {
        const order = ranked(where, {}, from);
        const start = where.ips.findIndex(({ ip }) => ip === order[0]?.ip);
        expect(order).toEqual(
          [...where.ips.slice(start), ...where.ips.slice(0, start)].slice(0, where.ips.length),
        );
      }),
    );
  });

  test("[PL2] with a session has every address once, by falling weight, whatever the chance", () => {
    fc.assert(
      fc.property(placement, fc.string(), seed, seed, (where, session, one, other) => {
        const order = ranked(where, { session }, one);
        expect(order).toEqual(ranked(where, { session }, other));
        expect(new Set(order)).toEqual(new Set(where.ips));
        expect(order).toHaveLength(where.ips.length);
        const weights = order.map(({ ip }) => rendezvousWeight(session, ip));
        expect(weights).toEqual(weights.toSorted((a, b) => b - a));
      }),
    );
  });

  test("[PL2] of those that stay does not change when others are added or taken away", () => {
    fc.assert(
      fc.property(placement, fc.string(), fc.nat(), (where, session, at) => {
        fc.pre(where.ips.length > 0);
        const gone = where.ips[at % where.ips.length]!;
        const fewer = { ...where, ips: where.ips.filter((placed) => placed !== gone) };
        const expected = ranked(where, { session }, 1).filter((placed) => placed !== gone);
        expect(ranked(fewer, { session }, 1)).toEqual(expected);
      }),
    );
  });

  test("[PL3] strict is the first address of the soft one and no other", () => {
    fc.assert(
      fc.property(placement, fc.string(), seed, (where, session, from) => {
        const soft = ranked(where, { session, sticky: "soft" }, from);
        expect(ranked(where, { session, sticky: "strict" }, from)).toEqual(soft.slice(0, 1));
      }),
    );
  });

  test("[PL9] with a country and a site is that of a pool of the fitting addresses alone", () => {
    const where = fc.record({ country, site }, { requiredKeys: [], noNullPrototype: true });
    const how = fc.record({ session: fc.string(), sticky }, { requiredKeys: [], noNullPrototype: true });
    fc.assert(
      fc.property(placement, where, how, seed, (all, wanted, mode, from) => {
        const fitting = all.ips.filter(
          (placed) =>
            (wanted.country === undefined || placed.country === wanted.country) &&
            (wanted.site === undefined || (placed.sites ?? [wanted.site]).includes(wanted.site)),
        );
        const outcome = rankIps(all, { ...wanted, ...mode }, seededRandom(from));
        if (fitting.length > 0)
          expect(outcome).toEqual(rankIps({ ...all, ips: fitting }, mode, seededRandom(from)));
        else
          expect(outcome).toEqual({
            ok: false,
            refusal: all.ips.length === 0 ? "pool-empty" : "selection-unserved",
          });
      }),
    );
  });

  test("[PL1] with an address of the client's choice is that one, whatever else is asked for", () => {
    fc.assert(
      fc.property(
        placement,
        fc.ipV4(),
        fc.option(fc.string(), { nil: "cart" }),
        sticky,
        seed,
        (where, ip, session, mode, from) => {
          const named = where.ips.filter((placed) => placed.ip === ip);
          expect(ranked(where, { ip, session, sticky: mode }, from)).toEqual(named);
          for (const placed of where.ips) {
            expect(ranked(where, { ip: placed.ip, session, sticky: mode }, from)).toEqual([placed]);
          }
        },
      ),
    );
  });
});

describe("the host of a request", () => {
  test("[PL1] [PL4] [PL5] is one not yet tried, on the first address that has such a one", () => {
    fc.assert(
      fc.property(placement, tried, seed, (where, avoid, from) => {
        const chosen = chooseHost(where.ips, (name) => avoid.has(name), seededRandom(from));
        const first = where.ips.find(({ hosts }) => hosts.some((placed) => !avoid.has(placed.host)));
        if (first === undefined) {
          expect(chosen).toEqual({ ok: false, refusal: "no-host" });
          return;
        }
        expect(chosen).toMatchObject({ ok: true, value: { ip: first.ip } });
        if (!chosen.ok) return;
        expect(avoid).not.toContain(chosen.value.host.host);
        expect(first.hosts).toContain(chosen.value.host);
      }),
    );
  });

  test("[PL4] is found for every retry until all have been tried, each once", () => {
    fc.assert(
      fc.property(placement, seed, (where, from) => {
        const random = seededRandom(from);
        const avoid = new Set<string>();
        const present = new Set(where.ips.flatMap(({ hosts }) => hosts.map((placed) => placed.host)));
        for (;;) {
          const chosen = chooseHost(where.ips, (name) => avoid.has(name), random);
          if (!chosen.ok) break;
          expect(avoid.has(chosen.value.host.host)).toBe(false);
          avoid.add(chosen.value.host.host);
        }
        expect(avoid).toEqual(present);
      }),
    );
  });
});

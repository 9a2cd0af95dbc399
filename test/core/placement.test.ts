/** Where a request goes. */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { seededRandom } from "./address-story.ts";
import { type Family, otherFamily } from "../../src/core/address-family.ts";
import { chooseHost, NOBODY, rankIps } from "../../src/core/host-choice.ts";
import { rendezvousWeight } from "../../src/core/rendezvous.ts";
import {
  hasBothFamilies,
  isHeard,
  type PlacedHost,
  type PlacedIp,
  type Placement,
} from "../../src/core/placement.ts";
import type { Selection } from "../../src/core/selection.ts";

function host(name: string, portCount = 100, busiestCount = 0): PlacedHost {
  return { host: name, gateway: `http://${name}.example`, portCount, busiestCount };
}

function placementOf(...ips: PlacedIp[]): Placement {
  return { pool: "eu", ips, resting: [] };
}

/** The address a session leaves from, or why it leaves from none. */
function addressOf(placement: Placement, session: string, sticky: "soft" | "strict" = "soft"): string {
  const ranked = rankIps(placement, { session, sticky }, seededRandom(1));
  if (!ranked.ok) return ranked.refusal;
  const chosen = chooseHost(ranked.value, NOBODY, seededRandom(1));
  return chosen.ok ? chosen.value.ip : chosen.refusal;
}

const IPS = ["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4", "192.0.2.5", "192.0.2.6"];

function served(ips: readonly string[]): Placement {
  return placementOf(...ips.map((ip) => ({ ip, hosts: [host(`host-of-${ip}`)] })));
}

describe("a choice without a session", () => {
  test("[PL1] an address of one's own choice is that or nothing", () => {
    const placement = placementOf({ ip: "192.0.2.1", hosts: [] }, { ip: "192.0.2.2", hosts: [host("anna")] });
    const ranked = rankIps(placement, { ip: "192.0.2.1" }, Math.random);
    expect(ranked).toMatchObject({ ok: true, value: [{ ip: "192.0.2.1" }] });
    expect(chooseHost([placement.ips[0]!], NOBODY, Math.random)).toEqual({ ok: false, refusal: "no-host" });
    expect(rankIps(placement, { ip: "192.0.2.9" }, Math.random)).toEqual({
      ok: false,
      refusal: "ip-unknown",
    });
  });

  test("[PF6] an address is selected by itself, else by what the Internet sees instead", () => {
    const placement = placementOf(
      { ip: "10.8.0.100", hosts: [host("anna")], advertised: "192.0.2.2" },
      { ip: "192.0.2.2", hosts: [host("bert")], advertised: "192.0.2.3" },
    );
    const found = (ip: string): unknown => {
      const ranked = rankIps(placement, { ip }, Math.random);
      return ranked.ok ? ranked.value.map((placed) => placed.ip) : ranked.refusal;
    };
    expect(["10.8.0.100", "192.0.2.2", "192.0.2.3", "192.0.2.4"].map(found)).toEqual([
      ["10.8.0.100"],
      ["192.0.2.2"],
      ["192.0.2.2"],
      "ip-unknown",
    ]);
  });

  test("[PL1] a pool without addresses is empty, not hostless", () => {
    expect(rankIps(placementOf(), {}, Math.random)).toEqual({ ok: false, refusal: "pool-empty" });
    expect(rankIps(placementOf(), { session: "cart" }, Math.random)).toMatchObject({ refusal: "pool-empty" });
  });

  test("[PL1] requests without a session spread over all addresses that are served", () => {
    const placement = placementOf(
      { ip: "192.0.2.1", hosts: [host("anna")] },
      { ip: "192.0.2.2", hosts: [] },
      { ip: "192.0.2.3", hosts: [host("bert")] },
    );
    const random = seededRandom(3);
    const seen = new Set<string>();
    for (let draw = 0; draw < 200; draw += 1) {
      const ranked = rankIps(placement, {}, random);
      const chosen = chooseHost(ranked.ok ? ranked.value : [], NOBODY, random);
      seen.add(chosen.ok ? chosen.value.ip : chosen.refusal);
    }
    expect([...seen].toSorted()).toEqual(["192.0.2.1", "192.0.2.3"]);
  });
});

describe("a session", () => {
  test("[PL2] keeps its address while hosts come and go, as long as anybody serves it", () => {
    const hosts = fc.array(fc.constantFrom("anna", "bert", "cleo"), { minLength: 1, maxLength: 3 });
    fc.assert(
      fc.property(
        fc.string(),
        hosts,
        hosts,
        fc.shuffledSubarray(IPS, { minLength: IPS.length }),
        (session, before, after, order) => {
          const first = placementOf(...IPS.map((ip) => ({ ip, hosts: before.map((name) => host(name)) })));
          const later = placementOf(...order.map((ip) => ({ ip, hosts: after.map((name) => host(name)) })));
          expect(addressOf(later, session)).toBe(addressOf(first, session));
        },
      ),
    );
  });

  test("[PL2] moves to a new address or not at all when one is added, and back when it goes", () => {
    fc.assert(
      fc.property(fc.string(), fc.nat(IPS.length - 1), (session, at) => {
        const fewer = IPS.filter((_, index) => index !== at);
        const moved = addressOf(served(IPS), session);
        const before = addressOf(served(fewer), session);
        expect(moved === before || moved === IPS[at]).toBe(true);
      }),
    );
  });

  test("[PL2] sessions spread evenly: each of six addresses has about a sixth of 6,000", () => {
    const counts = new Map<string, number>();
    const placement = served(IPS);
    for (let at = 0; at < 6000; at += 1) {
      const ip = addressOf(placement, `cart-${at}`);
      counts.set(ip, (counts.get(ip) ?? 0) + 1);
    }
    expect(counts.size).toBe(IPS.length);
    for (const count of counts.values()) expect(Math.abs(count - 1000)).toBeLessThan(150);
  });

  test("[PL2] everybody computes the same weights", () => {
    expect(rendezvousWeight("cart-42", "192.0.2.1")).toBe(1_446_512_964);
    expect(rendezvousWeight("", "::1")).toBe(2_731_646_299);
  });

  test("[PL3] soft, it moves when nobody serves its address; strict, it is refused", () => {
    const home = addressOf(served(IPS), "cart");
    const placement = placementOf(
      ...IPS.map((ip) => ({ ip, hosts: ip === home ? [] : [host(`host-of-${ip}`)] })),
    );
    expect(addressOf(placement, "cart", "strict")).toBe("no-host");
    const refuge = addressOf(placement, "cart", "soft");
    expect(IPS).toContain(refuge);
    expect(refuge).not.toBe(home);
  });
});

describe("a host for a request", () => {
  test("[PL4] one already tried is not tried again; when all are, there is none", () => {
    const ips = [{ ip: "192.0.2.1", hosts: [host("anna"), host("bert")] }];
    for (let draw = 0; draw < 50; draw += 1) {
      expect(chooseHost(ips, (name) => name === "anna", Math.random)).toMatchObject({
        value: { host: { host: "bert" } },
      });
    }
    expect(chooseHost(ips, () => true, Math.random)).toMatchObject({ refusal: "no-host" });
  });

  test("[PL5] the more capacity the likelier, in proportion; a full host is a last resort, never nothing", () => {
    const ips = [
      { ip: "192.0.2.1", hosts: [host("anna", 400, 100), host("bert", 100), host("full", 256, 256)] },
    ];
    const random = seededRandom(11);
    const counts = { anna: 0, bert: 0, full: 0 };
    for (let draw = 0; draw < 40_100; draw += 1) {
      const chosen = chooseHost(ips, NOBODY, random);
      if (chosen.ok) counts[chosen.value.host.host as keyof typeof counts] += 1;
    }
    expect(counts.anna).toBeGreaterThan(29_500);
    expect(counts.anna).toBeLessThan(30_500);
    expect(counts.bert).toBeGreaterThan(9600);
    expect(counts.full).toBeLessThan(250);
    const alone = [{ ip: "192.0.2.1", hosts: [host("full", 256, 300)] }];
    expect(chooseHost(alone, NOBODY, () => 1 - 2 ** -53)).toMatchObject({ ok: true });
  });

  test("[PL5] some host is always found while one is left, whatever the draw", () => {
    const hosts = fc.array(fc.record({ portCount: fc.nat(64_512), busiestCount: fc.nat(64_512) }), {
      minLength: 1,
      maxLength: 20,
    });
    const draw = fc.oneof(
      fc.constant(1 - 2 ** -53),
      fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
    );
    fc.assert(
      fc.property(hosts, draw, (rooms, ticket) => {
        const placed = rooms.map((room, at) => host(`host-${at}`, room.portCount, room.busiestCount));
        return chooseHost([{ ip: "192.0.2.1", hosts: placed }], NOBODY, () => ticket).ok;
      }),
    );
  });
});

describe("a draw", () => {
  const draws = (ips: readonly PlacedIp[], avoid = NOBODY): string =>
    [0, 0.24, 0.25, 0.49, 0.5, 0.74, 0.75, 0.99]
      .map((ticket) => {
        const chosen = chooseHost(ips, avoid, () => ticket);
        return chosen.ok ? chosen.value.host.host : chosen.refusal;
      })
      .join(" ");
  const hosts = [host("anna", 10, 8), host("bert", 1), host("full", 9, 9)];
  const ips = [{ ip: "192.0.2.1", hosts }];

  test("[PL5] gives each host a part as large as its room, in their order, the end outside", () => {
    expect(draws(ips)).toBe("anna anna anna anna bert bert full full");
  });

  test("[PL4] gives what a host that is passed over would have had to the others", () => {
    expect(draws(ips, (name) => name === "bert")).toBe("anna anna anna anna anna full full full");
  });

  test("[PL4] passes a host over on one address alone when that is what it refused for", () => {
    const both = [...ips, { ip: "192.0.2.2", hosts: [host("anna")] }];
    const chosen = chooseHost(both, (_name, ip) => ip === "192.0.2.1", Math.random);
    expect(chosen).toEqual({ ok: true, value: { ip: "192.0.2.2", host: host("anna") } });
  });

  test("[PL1] without a session begins at any address and goes on around", () => {
    const placement = served(IPS.slice(0, 4));
    const order = (ticket: number): string[] => {
      const ranked = rankIps(placement, {}, () => ticket);
      return ranked.ok ? ranked.value.map(({ ip }) => ip.slice(-1)) : [];
    };
    expect(order(0)).toEqual(["1", "2", "3", "4"]);
    expect(order(0.5)).toEqual(["3", "4", "1", "2"]);
    expect(order(0.99)).toEqual(["4", "1", "2", "3"]);
  });
});

describe("the family of a request", () => {
  const mixed = served(["192.0.2.1", "2001:db8::1", "192.0.2.2", "2001:db8::2"]);
  const ranked = (selection: Selection, family: Family | null, placement = mixed): unknown => {
    const outcome = rankIps(placement, selection, () => 0, family);
    return outcome.ok ? outcome.value.map(({ ip }) => ip) : outcome.refusal;
  };

  test("[PL6] leaves only the addresses of its own, in their order", () => {
    expect(ranked({}, 4)).toEqual(["192.0.2.1", "192.0.2.2"]);
    expect(ranked({}, 6)).toEqual(["2001:db8::1", "2001:db8::2"]);
    expect(ranked({}, null)).toEqual(mixed.ips.map(({ ip }) => ip));
  });

  test("[PL6] leaves a session the best of its own, also when that is all it would take", () => {
    const all = ranked({ session: "cart" }, null) as string[];
    for (const family of [4, 6] as const) {
      const own = all.filter((ip) => ip.includes(":") === (family === 6));
      expect(ranked({ session: "cart" }, family)).toEqual(own);
      expect(ranked({ session: "cart", sticky: "strict" }, family)).toEqual(own.slice(0, 1));
    }
  });

  test("[PL6] that the pool has no address of leaves all: their hosts refuse by name", () => {
    const old = served(["192.0.2.1", "192.0.2.2"]);
    expect(ranked({}, 6, old)).toEqual(["192.0.2.1", "192.0.2.2"]);
    expect(ranked({}, 6, placementOf())).toBe("pool-empty");
  });

  test("[PL6] changes nothing about an address that was asked for", () => {
    expect(ranked({ ip: "192.0.2.2" }, 6)).toEqual(["192.0.2.2"]);
    expect(ranked({ ip: "192.0.2.9" }, 6)).toBe("ip-unknown");
  });

  test("[PL6] matters in a pool with addresses of both, in whatever order", () => {
    expect(hasBothFamilies(mixed.ips)).toBe(true);
    expect(hasBothFamilies(served(["2001:db8::1", "2001:db8::2", "192.0.2.1"]).ips)).toBe(true);
    expect(hasBothFamilies(served(["192.0.2.1", "192.0.2.2"]).ips)).toBe(false);
    expect(hasBothFamilies(served(["2001:db8::1"]).ips)).toBe(false);
    expect(hasBothFamilies([])).toBe(false);
    expect([otherFamily(4), otherFamily(6)]).toEqual([6, 4]);
  });
});

describe("the country and the site of a request", () => {
  const at = (ip: string, where: Pick<PlacedIp, "country" | "sites">): PlacedIp => {
    return { ip, hosts: [host(`host-of-${ip}`)], ...where };
  };
  const placement = placementOf(
    at("192.0.2.1", { country: "de", sites: ["fra1", "fra2"] }),
    at("192.0.2.2", { country: "de" }),
    at("192.0.2.3", { country: "nl", sites: ["ams1"] }),
    at("192.0.2.4", {}),
    at("2001:db8::3", { country: "nl", sites: ["ams1"] }),
  );
  const ranked = (selection: Selection, family: Family | null = null, where = placement): unknown => {
    const outcome = rankIps(where, selection, () => 0, family);
    return outcome.ok ? outcome.value.map(({ ip }) => ip) : outcome.refusal;
  };

  test("[PL9] leave the addresses that have them, and of those that are everywhere all for a site", () => {
    expect(ranked({ country: "de" })).toEqual(["192.0.2.1", "192.0.2.2"]);
    expect(ranked({ site: "fra1" })).toEqual(["192.0.2.1", "192.0.2.2", "192.0.2.4"]);
    expect(ranked({ site: "fra1", country: "de" })).toEqual(["192.0.2.1", "192.0.2.2"]);
    expect(ranked({ site: "fra2", country: "nl" })).toBe("selection-unserved");
    expect(ranked({ country: "fr" })).toBe("selection-unserved");
    expect(ranked({ country: "fr" }, null, placementOf())).toBe("pool-empty");
  });

  test("[PL9] refuse an address that is elsewhere, and name one that is not there", () => {
    expect(ranked({ ip: "192.0.2.1", country: "de", site: "fra2" })).toEqual(["192.0.2.1"]);
    expect(ranked({ ip: "192.0.2.1", country: "nl" })).toBe("selection-unserved");
    expect(ranked({ ip: "192.0.2.1", site: "ams1" })).toBe("selection-unserved");
    expect(ranked({ ip: "192.0.2.4", country: "de" })).toBe("selection-unserved");
    expect(ranked({ ip: "192.0.2.9", country: "de" })).toBe("ip-unknown");
  });

  test("[PL9] [PL6] come before the family, which is the host's to refuse where none of it fits", () => {
    expect(ranked({ country: "nl" }, 6)).toEqual(["2001:db8::3"]);
    expect(ranked({ country: "nl" }, 4)).toEqual(["192.0.2.3"]);
    expect(ranked({ country: "de" }, 6)).toEqual(["192.0.2.1", "192.0.2.2"]);
  });
});

describe("a pool hears", () => {
  const { ips } = placementOf(
    { ip: "192.0.2.1", hosts: [] },
    { ip: "192.0.2.2", hosts: [host("anna"), host("bert")] },
  );
  const placement = { pool: "eu", ips, resting: ["cleo"] };

  test("[PL8] whom it gives requests, on any address, and whom it lets rest", () => {
    for (const name of ["anna", "bert", "cleo"]) expect(isHeard(placement, host(name))).toBe(true);
    expect(isHeard(placement, host("dora"))).toBe(false);
    expect(isHeard(placementOf(), host("anna"))).toBe(false);
  });

  test("[PL8] not whoever has lost its name to one with another gateway", () => {
    expect(isHeard(placement, { host: "anna", gateway: "http://bert.example" })).toBe(false);
    expect(isHeard(placement, { host: "bert", gateway: "http://elsewhere.example" })).toBe(false);
  });
});

/**
 * The policy as rules for the kernel: they say what the judge of sockets says, of addresses and ports. The rules are
 * read here by a small second implementation of what nftables makes of them.
 */
import ipaddr from "ipaddr.js";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import {
  type DestinationRules,
  NO_LIMITS,
  OPEN_DESTINATIONS,
  type PoolPolicy,
} from "../../src/core/pool-policy.ts";
import { listRules, specialRules } from "../../src/agent/translation/destination-rules.ts";
import { AddressRules } from "../../src/policy/address-rules.ts";
import { DestinationPolicy } from "../../src/policy/destination-policy.ts";

interface Packet {
  readonly destination: string;
  /** Null of an echo. */
  readonly port: number | null;
}

function policyWith(pool: Partial<PoolPolicy>): PoolPolicy {
  const anyTenant = { destinations: OPEN_DESTINATIONS, limits: NO_LIMITS };
  return {
    version: 1,
    destinations: OPEN_DESTINATIONS,
    special: [],
    tenants: {},
    anyTenant,
    revoked: [],
    ...pool,
  };
}

function rules(own: Partial<DestinationRules>): DestinationRules {
  return { ...OPEN_DESTINATIONS, ...own };
}

/** Whether a chain refuses a packet: the first rule with a verdict that fits decides. */
function refuses(chain: readonly string[], { destination, port }: Packet): boolean {
  const address = ipaddr.parse(destination);
  for (const rule of chain) {
    const [, family, networks, first, last, verdict] =
      /^(?:(ip6?) daddr (\{[^}]*\}|\S+) )?(?:meta l4proto \{ tcp, udp \} th dport (\d+)-(\d+) )?(return|goto refuse_destination|counter name reported)$/.exec(
        rule,
      ) ?? [];
    if (verdict === undefined) throw new Error(`what is ${rule}?`);
    const ranges = networks?.replaceAll(/[{}\s]/g, "").split(",") ?? [];
    const isFamily = family === undefined || address.kind() === (family === "ip" ? "ipv4" : "ipv6");
    const isThere =
      family === undefined || (isFamily && ranges.some((range) => address.match(ipaddr.parseCIDR(range))));
    const isPort = first === undefined || (port !== null && port >= Number(first) && port <= Number(last));
    if (!isThere || !isPort || verdict.startsWith("counter")) continue;
    return verdict !== "return";
  }
  return false;
}

const HOST = { allowed: ["10.1.0.0/16", "192.0.2.7/32"], denied: ["10.1.2.0/24", "9.9.9.0/24"] };

test("[SN9] special addresses are refused as they are for sockets, with what operator and pool say beyond", () => {
  const opened = ["198.51.100.0/24", "127.0.0.0/8", "fd00:1::/32"];
  const judge = new AddressRules({ ...HOST, opened });
  const chain = specialRules(HOST, policyWith({ special: opened }));
  const ipv4 = fc.oneof(
    fc.ipV4(),
    fc.constantFrom(
      "10.1.2.3",
      "10.1.9.9",
      "10.2.0.1",
      "192.0.2.7",
      "192.0.2.8",
      "198.51.100.4",
      "127.0.0.1",
    ),
    fc.constantFrom(
      "9.9.9.9",
      "168.63.129.16",
      "169.254.169.254",
      "100.64.0.1",
      "224.0.0.1",
      "255.255.255.255",
    ),
  );
  fc.assert(
    fc.property(ipv4, (destination) => {
      expect(refuses(chain, { destination, port: 443 })).toBe(!judge.permits(destination));
    }),
    { numRuns: 2_000 },
  );
});

test("[SN9] of IPv6 nothing passes that is refused for sockets", () => {
  const judge = new AddressRules(HOST);
  const chain = specialRules(HOST, null);
  const ipv6 = fc.oneof(
    fc.ipV6(),
    fc.constantFrom(
      "::1",
      "::",
      "fe80::1",
      "fd00::1",
      "ff02::1",
      "2001:db8::1",
      "2002:7f00:1::",
      "64:ff9b::a00:1",
    ),
    fc.constantFrom("2606:4700::1111", "2a00:1450::1", "2600:2d00:2:1000::1", "3fff::1", "2001:0:7f00:1::"),
  );
  fc.assert(
    fc.property(ipv6, (destination) => {
      if (!judge.permits(destination)) expect(refuses(chain, { destination, port: 443 })).toBe(true);
    }),
    { numRuns: 2_000 },
  );
  for (const destination of ["2606:4700::1111", "2a00:1450::1"]) {
    expect(refuses(chain, { destination, port: 443 })).toBe(false);
  }
});

test("[SN9] lists of networks and ports say what they say of sockets: the pool's, then the sender's", () => {
  const entry = fc.constantFrom(
    "8.8.0.0/16",
    "8.8.8.0/24:53",
    "1.1.1.1:80-90",
    "*:25",
    "*",
    "[2606:4700::]/32:443",
    "2606:4700::1111",
    "not an entry !",
  );
  const list = fc.array(entry, { maxLength: 4 });
  const lists = fc.record({
    mode: fc.constantFrom("enforce" as const, "report" as const, "open" as const),
    deny: list,
    allow: list,
  });
  const place = fc.constantFrom("8.8.8.8", "8.8.4.4", "1.1.1.1", "9.9.9.9", "2606:4700::1111", "2a00::1");
  const port = fc.constantFrom(25, 53, 80, 90, 91, 443);
  fc.assert(
    fc.property(lists, lists, place, port, (pool, tenant, destination, to) => {
      const own = { destinations: tenant, limits: NO_LIMITS };
      const chains = listRules(policyWith({ destinations: pool, tenants: { pods: own } }), "pods");
      const judge = new DestinationPolicy({ pool, tenant });
      const isRefused = chains.some((chain) => refuses(chain, { destination, port: to }));
      expect(isRefused).toBe(judge.refusalOf(destination, { name: null, port: to }) !== null);
    }),
    { numRuns: 2_000 },
  );
});

test("[SN9] what has no ports is on entries of all ports alone", () => {
  const deny = listRules(policyWith({ destinations: rules({ deny: ["8.8.8.8:53", "1.1.1.1"] }) }), "pods");
  expect(deny.some((chain) => refuses(chain, { destination: "8.8.8.8", port: null }))).toBe(false);
  expect(deny.some((chain) => refuses(chain, { destination: "1.1.1.1", port: null }))).toBe(true);
  const allow = listRules(policyWith({ destinations: rules({ allow: ["8.8.8.8:53"] }) }), "pods");
  expect(allow.some((chain) => refuses(chain, { destination: "8.8.8.8", port: null }))).toBe(true);
});

test("[SN9] names neither deny nor open anything in the kernel", () => {
  const deny = listRules(policyWith({ destinations: rules({ deny: ["example.com"] }) }), "pods");
  expect(deny.some((chain) => refuses(chain, { destination: "9.9.9.9", port: 443 }))).toBe(false);
  const allow = listRules(policyWith({ destinations: rules({ allow: ["*.example.com"] }) }), "pods");
  expect(allow.some((chain) => refuses(chain, { destination: "9.9.9.9", port: 443 }))).toBe(true);
});

test("[SN9] a sender that the pool does not serve is refused everything", () => {
  const chains = listRules(policyWith({ anyTenant: null }), "pods");
  expect(chains.some((chain) => refuses(chain, { destination: "9.9.9.9", port: 443 }))).toBe(true);
});

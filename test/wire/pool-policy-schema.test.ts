/** A pool's policy as JSON: what is taken, and that nothing in it is overlooked. */
import { describe, expect, test } from "vitest";
import { DEFAULT_POOL_POLICY, NO_LIMITS, OPEN_DESTINATIONS } from "../../src/core/pool-policy.ts";
import { MOST_ENTRIES, parsePoolPolicy } from "../../src/wire/pool-policy-schema.ts";

const TENANT = { destinations: OPEN_DESTINATIONS, limits: NO_LIMITS };

function isTaken(text: string): boolean {
  const destinations = { ...OPEN_DESTINATIONS, deny: [text] };
  return parsePoolPolicy({ ...DEFAULT_POOL_POLICY, destinations }) !== null;
}

describe("an entry of a list of destinations", () => {
  test.each([
    "*",
    "*:443",
    "example.com",
    "*.example.com:80-90",
    "192.0.2.1:22",
    "192.0.2.0/24",
    "2001:db8::/32",
    "::1",
    "[2001:db8::1]:443",
    "[2001:db8::/32]:1-65535",
    "exämple.com",
  ])("[PY4] %s is one", (text) => expect(isTaken(text)).toBe(true));

  test.each([
    "",
    " example.com",
    "example.com ",
    "exa mple.com",
    "example.com:0",
    "example.com:65536",
    "example.com:90-80",
    "example.com:443:443",
    "example.com:",
    "example.com:https",
    "[2001:db8::1",
    "[2001:db8::1]443",
    "[]:443",
    `${"a".repeat(300)}.com`,
  ])("[PY4] %j is none", (text) => expect(isTaken(text)).toBe(false));
});

describe("a policy", () => {
  test("[PY4] is read as it was written", () => {
    const policy = {
      version: 7,
      destinations: { mode: "report", allow: ["*.example.com"], deny: ["192.0.2.0/24:25"] },
      special: ["10.1.0.0/16", "fd00::/8"],
      tenants: { shop: TENANT, toString: { ...TENANT, limits: { ...NO_LIMITS, tunnels: 0 } } },
      anyTenant: null,
      revoked: [{ tokenId: "t1", expiresAtMs: 5 }],
    };
    expect(parsePoolPolicy(JSON.parse(JSON.stringify(policy)))).toEqual(policy);
    expect(parsePoolPolicy(DEFAULT_POOL_POLICY)).toEqual(DEFAULT_POOL_POLICY);
  });

  test.each([
    ["a member that is not known", { quota: 1 }],
    ["a member of its rules that is not known", { destinations: { ...OPEN_DESTINATIONS, ports: [] } }],
    ["a member of a tenant that is not known", { tenants: { shop: { ...TENANT, until: 1 } } }],
    ["a limit that is not known", { anyTenant: { ...TENANT, limits: { ...NO_LIMITS, hosts: 1 } } }],
    ["a mode that is not known", { destinations: { ...OPEN_DESTINATIONS, mode: "audit" } }],
    ["an entry that is none", { destinations: { ...OPEN_DESTINATIONS, deny: ["a b"] } }],
    ["a negative limit", { anyTenant: { ...TENANT, limits: { ...NO_LIMITS, ports: -1 } } }],
    ["a special network that is none", { special: ["10.0.0.0/33"] }],
    ["a special address without a prefix", { special: ["10.0.0.1"] }],
    ["a tenant without a name", { tenants: { "": TENANT } }],
    ["too many entries", { special: Array.from({ length: MOST_ENTRIES + 1 }, () => "10.0.0.0/8") }],
    ["no version", { version: undefined }],
    ["tenants that are none", { tenants: null }],
  ])("[PY4] with %s is refused as a whole", (_what, more) => {
    expect(parsePoolPolicy(JSON.parse(JSON.stringify({ ...DEFAULT_POOL_POLICY, ...more })))).toBeNull();
  });

  test("[PY4] that names a tenant which no object can hold is refused, not read without it", () => {
    const text = JSON.stringify({ ...DEFAULT_POOL_POLICY, tenants: { x: TENANT } });
    expect(parsePoolPolicy(JSON.parse(text.replace('"x"', '"__proto__"')))).toBeNull();
  });
});

/** What holds for whom, by the policy of the pool. */
import { expect, test } from "vitest";
import type { Identity, TokenRestrictions } from "../../src/core/identity.ts";
import {
  DEFAULT_POOL_POLICY,
  NO_LIMITS,
  OPEN_DESTINATIONS,
  type PoolPolicy,
  type TenantPolicy,
} from "../../src/core/pool-policy.ts";
import { DestinationPolicy } from "../../src/policy/destination-policy.ts";
import { TenantBook } from "../../src/agent/tenants/tenant-book.ts";

const TENANT: TenantPolicy = { destinations: OPEN_DESTINATIONS, limits: NO_LIMITS };

function identity(more: Partial<Identity> = {}): Identity {
  return { role: "gateway", subject: "shop-1", pools: ["main"], expiresAtMs: Infinity, ...more };
}

function policy(more: Partial<PoolPolicy>): PoolPolicy {
  return { ...DEFAULT_POOL_POLICY, version: 1, ...more };
}

test("[PY1] without a policy every tenant is served; one that names none is a tenant by itself", () => {
  const book = new TenantBook(() => new DestinationPolicy());
  expect(book.standingOf(identity())).toMatchObject({ ok: true, value: { tenant: "shop-1" } });
  const named = identity({ tenant: "shop" });
  expect(book.standingOf(named)).toMatchObject({ ok: true, value: { tenant: "shop" } });
});

test("[PY1] a tenant that the pool does not name is refused, and so is one with the name of a member of all objects", () => {
  const book = new TenantBook(() => new DestinationPolicy());
  book.take(policy({ tenants: { shop: TENANT }, anyTenant: null }));
  expect(book.standingOf(identity({ tenant: "shop" })).ok).toBe(true);
  for (const tenant of ["office", "toString", "__proto__"]) {
    const refused = { ok: false, refusal: { code: "tenant-denied" } };
    expect(book.standingOf(identity({ tenant })), tenant).toMatchObject(refused);
  }
});

test("[PY1] what is said of a tenant holds for it, and what is said of any for the others", () => {
  const narrow: TenantPolicy = { ...TENANT, limits: { ...NO_LIMITS, tunnels: 3 } };
  const asked: TenantPolicy[] = [];
  const book = new TenantBook((_pool, tenant) => {
    asked.push(tenant);
    return new DestinationPolicy();
  });
  book.take(policy({ tenants: { shop: narrow } }));
  for (const tenant of ["shop", "office"]) expect(book.standingOf(identity({ tenant })).ok).toBe(true);
  expect(asked).toEqual([narrow, TENANT]);
});

test("[PY6] without a policy that it should have nobody is served, and everybody as soon as there is one", () => {
  const book = new TenantBook(() => new DestinationPolicy(), null);
  const client = identity();
  expect(book.version).toBeNull();
  expect(book.standingOf(client)).toEqual({ ok: false, refusal: { code: "policy-missing" } });
  book.take(DEFAULT_POOL_POLICY);
  expect(book.version).toBe(0);
  expect(book.standingOf(client).ok).toBe(true);
});

test("[PY1] a token counts as revoked from the moment that the policy says so, known before or not", () => {
  const book = new TenantBook(() => new DestinationPolicy());
  const known = identity({ tokenId: "t1" });
  expect(book.standingOf(known).ok).toBe(true);
  book.take(policy({ revoked: [{ tokenId: "t1", expiresAtMs: Infinity }] }));
  const refused = { ok: false, refusal: { code: "token-revoked" } };
  expect(book.standingOf(known)).toEqual(refused);
  expect(book.standingOf(identity({ tokenId: "t1" }))).toEqual(refused);
  expect(book.standingOf(identity({ tokenId: "t2" })).ok).toBe(true);
});

test("[PY1] [TK5] a token that a kept policy says is revoked is so from the start, whatever it is for", () => {
  const revoked = [{ tokenId: "t1", expiresAtMs: Infinity }];
  const book = new TenantBook(() => new DestinationPolicy(), policy({ revoked }));
  expect(book.standingOf(identity({ tokenId: "t1" }))).toMatchObject({ refusal: { code: "token-revoked" } });
  expect(book.isRevoked(identity({ role: "admin", tokenId: "t1" }))).toBe(true);
  expect(book.isRevoked(identity({ role: "admin" }))).toBe(false);
});

test("[DE8] tokens of one tenant with the same restrictions share their rules of destinations; no others do", () => {
  const asked: [TenantPolicy, TokenRestrictions][] = [];
  const book = new TenantBook((_pool, tenant, restrictions) => {
    asked.push([tenant, restrictions]);
    return new DestinationPolicy();
  });
  const rulesOf = (more: Partial<Identity>): DestinationPolicy => {
    const standing = book.standingOf(identity(more));
    if (!standing.ok) throw new Error(standing.refusal.code);
    return standing.value.policy;
  };
  const one = rulesOf({ tenant: "shop", tokenId: "t1" });
  expect(rulesOf({ tenant: "shop", tokenId: "t2", subject: "shop-2" })).toBe(one);
  expect(rulesOf({ tenant: "office" })).not.toBe(one);
  const restrictions = { destinations: ["*.example.com"] };
  const narrow = rulesOf({ tenant: "shop", restrictions });
  expect(narrow).not.toBe(one);
  expect(rulesOf({ tenant: "shop", restrictions: { ...restrictions } })).toBe(narrow);
  expect(asked).toHaveLength(3);
  expect(asked[2]).toEqual([TENANT, restrictions]);
});

test("[DE15] a new policy keeps the rules of those for whom it says the same, and of nobody else", () => {
  const book = new TenantBook(() => new DestinationPolicy());
  const rulesOf = (tenant: string): DestinationPolicy => {
    const standing = book.standingOf(identity({ tenant }));
    if (!standing.ok) throw new Error(standing.refusal.code);
    return standing.value.policy;
  };
  const denying: TenantPolicy = {
    ...TENANT,
    destinations: { mode: "enforce", allow: [], deny: ["a.test"] },
  };
  book.take(policy({ tenants: { shop: TENANT, office: TENANT } }));
  const [shop, office] = [rulesOf("shop"), rulesOf("office")];
  expect(shop).not.toBe(office);
  const limited = { ...TENANT, limits: { ...TENANT.limits, ports: 5 } };
  book.take(policy({ version: 2, tenants: { shop: limited, office: denying } }));
  expect(rulesOf("shop")).toBe(shop);
  const second = rulesOf("office");
  expect(second).not.toBe(office);
  // Back again: what was given up is not taken up.
  book.take(policy({ version: 3, tenants: { shop: TENANT, office: TENANT } }));
  expect(rulesOf("shop")).toBe(shop);
  expect([office, second]).not.toContain(rulesOf("office"));
  for (const shared of [{ special: ["10.0.0.0/8"] }, { destinations: denying.destinations }]) {
    const before = rulesOf("shop");
    book.take(policy({ version: 4, tenants: { shop: TENANT }, ...shared }));
    expect(rulesOf("shop")).not.toBe(before);
  }
});

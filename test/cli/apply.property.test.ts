/** What is between pools and files: for any of either, doing it once leaves nothing to do. */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { z } from "zod";
import type { EdgeApi } from "../../src/api/edge-api.ts";
import { carryOut } from "../../src/cli/desired/carry-out.ts";
import { type DesiredPool, desiredSchema } from "../../src/cli/desired/desired-file.ts";
import { type ActualPool, type Change, differenceOf } from "../../src/cli/desired/difference.ts";
import {
  changedPolicy,
  changedTenant,
  DEFAULT_POOL_POLICY,
  type PoolPolicy,
  UNRESTRICTED,
} from "../../src/core/pool-policy.ts";
import { DEFAULT_POOL_SETTINGS } from "../../src/core/pool-settings.ts";

const POOL = "eu";
const IPS = ["192.0.2.1", "192.0.2.2", "2001:db8::1"];
const HOSTS = ["h1", "h2"];
const TENANTS = ["shop", "office"];

/** Some of these names, each with what is said of it. */
function named<Value>(
  names: readonly string[],
  value: fc.Arbitrary<Value>,
): fc.Arbitrary<Record<string, Value>> {
  return fc.dictionary(fc.constantFrom(...names), value, { maxKeys: names.length });
}

const drained = fc.option(fc.boolean(), { nil: undefined });
const labels = fc.option(fc.uniqueArray(fc.constantFrom("a", "b"), { maxLength: 2 }), { nil: undefined });
const destinations = fc.record(
  { mode: fc.constantFrom("enforce", "report", "open"), deny: fc.constantFrom([], ["*:25"]) },
  { requiredKeys: [] },
);
const limits = fc.record(
  { tunnels: fc.option(fc.nat(9)), ports: fc.option(fc.nat(9)) },
  { requiredKeys: [] },
);
const tenant = fc.record({ destinations, limits }, { requiredKeys: [] });
const desired = fc.record(
  {
    settings: fc.record({ quarantineMs: fc.nat(9), published: fc.boolean() }, { requiredKeys: [] }),
    ips: named(
      IPS,
      fc.option(
        fc.record({ country: fc.option(fc.constantFrom("de", "FR")), sites: labels, tags: labels, drained }),
      ),
    ),
    hosts: named(HOSTS, fc.option(fc.record({ drained }))),
    policy: fc.record(
      { destinations, anyTenant: fc.option(tenant), tenants: named(TENANTS, fc.option(tenant)) },
      { requiredKeys: [] },
    ),
  },
  { requiredKeys: [] },
);

/** A file as the verb reads it, which drops what is undefined as a file has none of it. */
function read(pool: unknown): DesiredPool {
  const text: unknown = JSON.parse(JSON.stringify({ pools: { [POOL]: pool } }));
  return z.record(z.string(), z.any()).parse(desiredSchema.parse(text).pools)[POOL] as DesiredPool;
}

/** As much of an edge as a file can change. */
class ModelEdge {
  pool: { settings: object; ips: Map<string, any>; hosts: Map<string, any>; policy: PoolPolicy } | null =
    null;
  readonly refused: string[] = [];
  /** Whether a flow that ran was ended. */
  hasCut = false;

  actual(): ActualPool | null {
    if (this.pool === null) return null;
    const { settings, ips, hosts, policy } = this.pool;
    const pool = { pool: POOL, settings, ips: [...ips.values()], hosts: [...hosts.values()] };
    return structuredClone({ pool, policy }) as unknown as ActualPool;
  }

  readonly api = {
    putPool: async ({ settings }: any) => {
      this.pool ??= {
        settings: DEFAULT_POOL_SETTINGS,
        ips: new Map(),
        hosts: new Map(),
        policy: DEFAULT_POOL_POLICY,
      };
      this.pool.settings = { ...this.pool.settings, ...settings };
      return {};
    },
    putIp: async ({ ip, advertised, country, sites, tags }: any) => {
      const about = { advertised, country, sites, tags };
      const before = this.pool!.ips.get(ip) ?? { ip, drain: null };
      this.pool!.ips.set(ip, { ...before, ...about, retiring: null });
      return {};
    },
    deleteIp: async ({ ip }: any) => {
      const known = this.pool!.ips.get(ip);
      this.hasCut ||= known.drain?.state !== "drained";
      this.pool!.ips.set(ip, { ...known, retiring: {}, drain: null });
      return {};
    },
    drainIp: async ({ ip }: any) => this.#drain(this.pool!.ips, ip, { state: "draining" }),
    resumeIp: async ({ ip }: any) => this.#drain(this.pool!.ips, ip, null),
    drainHost: async ({ host }: any) => this.#drain(this.pool!.hosts, host, { state: "draining" }),
    resumeHost: async ({ host }: any) => this.#drain(this.pool!.hosts, host, null),
    deleteHost: async ({ host }: any) => {
      if (this.pool!.hosts.get(host).live) this.refused.push(host);
      this.pool!.hosts.delete(host);
      return {};
    },
    putPolicy: async ({ version, ...changes }: any) =>
      this.#policy(version, (old) => changedPolicy(old, changes)),
    putTenant: async ({ tenant: name, version, ...changes }: any) =>
      this.#policy(version, (old) => {
        const whole = changedTenant(old.tenants[name] ?? old.anyTenant ?? UNRESTRICTED, changes);
        return { ...old, tenants: { ...old.tenants, [name]: whole } };
      }),
    deleteTenant: async ({ tenant: name }: any) =>
      this.#policy(undefined, (old) => {
        const { [name]: _, ...tenants } = old.tenants;
        return { ...old, tenants };
      }),
  } as unknown as EdgeApi;

  #drain(known: Map<string, any>, name: string, drain: object | null): object {
    known.set(name, { ...known.get(name), drain });
    return {};
  }

  #policy(version: number | undefined, change: (old: PoolPolicy) => PoolPolicy): object {
    const { policy: old } = this.pool!;
    if (version !== undefined && version !== old.version) this.refused.push(`version ${version}`);
    const policy = { ...change(old), version: old.version + 1 };
    this.hasCut ||= TENANTS.concat("any").some((name) => isServed(old, name) && !isServed(policy, name));
    this.pool!.policy = policy;
    return { version: policy.version };
  }
}

function isServed({ tenants, anyTenant }: PoolPolicy, name: string): boolean {
  return Object.hasOwn(tenants, name) || anyTenant !== null;
}

async function applyTo(
  edge: ModelEdge,
  pool: DesiredPool,
  tell: (change: Change) => void = () => {},
): Promise<void> {
  const actual = edge.actual();
  const found = differenceOf(POOL, pool, actual);
  const versions = new Map(actual === null ? [] : [[POOL, actual.policy.version] as const]);
  await carryOut(edge.api, { ...found, versions }, tell);
}

describe("any file, after any other", () => {
  test("[AY3] differs in nothing once it was carried out, and nothing of it was refused", async () => {
    await fc.assert(
      fc.asyncProperty(desired, desired, fc.boolean(), async (first, second, isLive) => {
        const edge = new ModelEdge();
        await applyTo(edge, read(first));
        for (const host of HOSTS) edge.pool!.hosts.set(host, { host, live: isLive, drain: null });
        await applyTo(edge, read(second));
        expect(edge.refused).toEqual([]);
        const again = differenceOf(POOL, read(second), edge.actual());
        expect(again.changes).toEqual([]);
      }),
      { numRuns: 300 },
    );
  });

  test("[ME8] [ME9] [AY1] contradicts no pool as it is, and says what may be a slip", () => {
    const edge = new ModelEdge();
    const settings = { ...DEFAULT_POOL_SETTINGS, maxPortsPerHost: 4_096 };
    edge.pool = { settings, ips: new Map(), hosts: new Map(), policy: DEFAULT_POOL_POLICY };
    const wanted = (changes: object): (() => unknown) => {
      const pool = read({ settings: changes });
      return () => differenceOf(POOL, pool, edge.actual());
    };
    expect(wanted({ minPortsPerHost: 8_192 })).toThrow(/minPortsPerHost=8192 .* maxPortsPerHost=4096/);
    expect(wanted({ quarantineMs: 1 })()).toMatchObject({
      changes: [{ warnings: [expect.stringMatching(/^quarantineMs=1: /)] }],
    });
    expect(wanted({ quarantineMs: 90_000 })()).toMatchObject({ changes: [{ warnings: [] }] });
  });

  test("[AY2] ends no flow but by changes that say so", async () => {
    await fc.assert(
      fc.asyncProperty(desired, desired, async (first, second) => {
        const edge = new ModelEdge();
        await applyTo(edge, read(first));
        edge.hasCut = false;
        await applyTo(edge, read(second), ({ text, cuts }) => {
          if (edge.hasCut) expect(cuts, text).not.toBeNull();
          edge.hasCut = false;
        });
      }),
      { numRuns: 300 },
    );
  });
});

/** Reads pools as they are, and carries out what is between them and a file. [AY3] */
import type { EdgeApi } from "../../api/edge-api.ts";
import { poolAt } from "./pool-at.ts";
import {
  type ActualPool,
  type Change,
  type ChangeRoute,
  type Difference,
  differenceOf,
} from "./difference.ts";
import type { DesiredPool } from "./desired-file.ts";

/** Pools by their names. */
export type DesiredPools = Readonly<Record<string, DesiredPool | null>>;

/** The difference, and of which version each policy is that it was made for. */
export interface Found extends Difference {
  readonly versions: ReadonlyMap<string, number>;
}

/** What is between the pools at the edge and these. */
export async function findDifference(api: EdgeApi, desired: DesiredPools): Promise<Found> {
  const changes: Change[] = [];
  const remarks: string[] = [];
  const versions = new Map<string, number>();
  for (const [name, pool] of Object.entries(desired)) {
    const actual = await actualPool(api, name);
    const difference = differenceOf(name, pool ?? {}, actual);
    changes.push(...difference.changes);
    remarks.push(...difference.remarks);
    if (actual !== null) versions.set(name, actual.policy.version);
  }
  return { changes, remarks, versions };
}

/** Does all of it, one after the other; `tell` hears of each that is done. What is done stays done when one is refused. */
export async function carryOut(
  api: EdgeApi,
  { changes, versions }: Found,
  tell: (change: Change) => void,
): Promise<void> {
  const policyVersions = new Map(versions);
  for (const change of changes) {
    const { pool, route, input } = change;
    const isOfPolicy = route === "putPolicy" || route === "putTenant";
    const version = policyVersions.get(pool);
    // Who changed it meanwhile is not overwritten: that is refused as `policy-changed`.
    const given = isOfPolicy && version !== undefined ? { ...input, version } : input;
    const answer = await callOf(api, route)(given);
    if (isOfPolicy || route === "deleteTenant") policyVersions.set(pool, answer.version!);
    tell(change);
  }
}

async function actualPool(api: EdgeApi, name: string): Promise<ActualPool | null> {
  const pool = await poolAt(api, name);
  return pool === null ? null : { pool, policy: await api.getPolicy({ pool: name }) };
}

/** Each input was made for the route beside which it stands. */
function callOf(api: EdgeApi, route: ChangeRoute): (input: object) => Promise<{ readonly version?: number }> {
  const calls: Readonly<Record<ChangeRoute, unknown>> = api;
  return calls[route] as ReturnType<typeof callOf>;
}

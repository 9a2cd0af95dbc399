/**
 * How long does a host wait for its ports because there are routers? The time from a host's
 * `acquire` to its answer, which is held back until every live router has acknowledged the
 * rule, at 1, 1,000 and 10,000 addresses of 32 holders each; beside it the same in a pool
 * without routers, in turn.
 */
import type { Asker } from "./asker.ts";
import { GrantRig } from "./grant-rig.ts";
import { compared, median, nowMs, plain, quantile, type Row } from "./report.ts";
import { type BackEnd, nameOf } from "./steering-rig.ts";

const WARM_UP_COUNT = 30;
const GRANT_COUNT = 300;
/** What a host asks for first. */
const ORDER = 8;

interface Grant {
  readonly base: number;
  readonly epoch: number;
  readonly fromMs: number;
  readonly toMs: number;
}

/** The parts of a grant in a steered pool, one after the other; all in ms. */
interface SteeredGrant {
  readonly wholeMs: number;
  /** Object, pool, wire and router, until the kernel is told. */
  readonly outMs: number;
  readonly kernelMs: number;
  /** Router, wire, pool and object, until the host has the answer. */
  readonly backMs: number;
}

/** Needs root. */
export async function measureGrants(addressCounts: readonly number[], backEnd: BackEnd): Promise<Row[]> {
  const rig = await GrantRig.create(backEnd);
  try {
    const rows: Row[] = [];
    for (const addressCount of addressCounts) rows.push(...(await measureAt(rig, addressCount, backEnd)));
    return rows;
  } finally {
    await rig.destroy();
  }
}

async function measureAt(rig: GrantRig, addressCount: number, backEnd: BackEnd): Promise<Row[]> {
  const { steered, plain: unsteered } = await rig.prepare(addressCount);
  const ours: SteeredGrant[] = [];
  const peers: number[] = [];
  for (let count = -WARM_UP_COUNT; count < GRANT_COUNT; count += 1) {
    const grant = await steeredGrant(rig, steered);
    const peer = await acquire(unsteered);
    await release(unsteered, peer);
    if (count < 0) continue;
    ours.push(grant);
    peers.push(peer.toMs - peer.fromMs);
  }
  const wholes = ours.map(({ wholeMs }) => wholeMs);
  const share = addressCount === 1 ? "" : ", one with an object";
  const title = `${backEnd}, ${nameOf(addressCount)}${share}: grant to acknowledged rule`;
  const about = { unit: "ms", better: "less", peerName: "a pool without routers", goal: null } as const;
  return [
    compared({ ...about, case: `${title}, p50`, ours: median(wholes), peer: median(peers) }),
    compared({ ...about, case: `${title}, p99`, ours: quantile(wholes, 0.99), peer: quantile(peers, 0.99) }),
    plain(`${title}, until the kernel is told`, "ms (p50)", median(ours.map(({ outMs }) => outMs))),
    plain(`${title}, in the kernel`, "ms (p50)", median(ours.map(({ kernelMs }) => kernelMs))),
    plain(`${title}, back to the host`, "ms (p50)", median(ours.map(({ backMs }) => backMs))),
  ];
}

/** A grant that nothing else is under way beside: what it took is given back and withdrawn again. */
async function steeredGrant(rig: GrantRig, host: Asker): Promise<SteeredGrant> {
  const grant = await acquire(host);
  const step = await rig.nextStep();
  // By the deadline the host would be told in any case; then it is not this that was measured.
  if (step.toMs > grant.toMs)
    throw new Error("a host was told of its block before the kernel had applied it");
  await release(host, grant);
  await rig.nextStep();
  return {
    wholeMs: grant.toMs - grant.fromMs,
    outMs: step.fromMs - grant.fromMs,
    kernelMs: step.toMs - step.fromMs,
    backMs: grant.toMs - step.toMs,
  };
}

async function acquire(host: Asker): Promise<Grant> {
  const fromMs = nowMs();
  const answer = await host.ask({ type: "acquire", order: ORDER });
  const toMs = nowMs();
  if (answer["type"] !== "answer") throw new Error(`no grant: ${JSON.stringify(answer)}`);
  const { base, epoch } = answer["granted"] as { base: number; epoch: number };
  return { base, epoch, fromMs, toMs };
}

async function release(host: Asker, { base, epoch }: Grant): Promise<void> {
  await host.ask({ type: "release", base, epoch });
}

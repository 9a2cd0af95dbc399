/**
 * What flows keep since those who should take it do not. Each keeps little, but nothing says how many there
 * are, so all together may keep so much: beyond that the ones end that have moved nothing for longest, of the
 * tenants that keep more than an equal part. [LI15]
 */
import type { TrackedFlow } from "./running-flows.ts";

/** All flows of a process together. */
export const MOST_UNTAKEN_BYTES = 256 * 1024 * 1024;
/** Beside what waits to be written there is about so much that was read, and has nowhere to go. */
const BESIDE_BYTES = 64 * 1024;
/** Who has taken something within so long may only be slow. */
const LEAST_RESTED_MS = 2_000;

/** The flows of one tenant. */
interface Keeping {
  bytes: number;
  readonly running: ReadonlySet<TrackedFlow>;
  /** Those that rest, the one that does so for longest last. */
  readonly resting: TrackedFlow[];
}

/** What a flow keeps, in bytes. */
export function untakenBytesOf({ untakenBytes }: TrackedFlow): number {
  return untakenBytes === 0 ? 0 : untakenBytes + BESIDE_BYTES;
}

/** Which flows have to end, so that no more is kept than may be. Each tenant has its own running ones. */
export function flowsToEnd(
  tenants: Iterable<{ readonly running: ReadonlySet<TrackedFlow> }>,
  nowMs: number,
  mostBytes: number,
): readonly TrackedFlow[] {
  const keeping: Keeping[] = [];
  let total = 0;
  for (const { running } of tenants) {
    const bytes = sumOf(running);
    total += bytes;
    if (bytes > 0) keeping.push({ bytes, running, resting: [] });
  }
  if (total <= mostBytes) return [];
  for (const { running, resting } of keeping) {
    for (const flow of running) if (isResting(flow, nowMs)) resting.push(flow);
    resting.sort((a, b) => b.movedAtMs - a.movedAtMs);
  }
  const part = mostBytes / keeping.length;
  const ended: TrackedFlow[] = [];
  while (total > mostBytes) {
    const most = largest(keeping.filter(({ bytes, resting }) => bytes > part && resting.length > 0));
    if (most === null) return ended;
    const flow = most.resting.pop()!;
    const bytes = untakenBytesOf(flow);
    most.bytes -= bytes;
    total -= bytes;
    ended.push(flow);
  }
  return ended;
}

function sumOf(running: Iterable<TrackedFlow>): number {
  let bytes = 0;
  for (const flow of running) bytes += untakenBytesOf(flow);
  return bytes;
}

function isResting(flow: TrackedFlow, nowMs: number): boolean {
  return flow.untakenBytes > 0 && nowMs - flow.movedAtMs >= LEAST_RESTED_MS;
}

function largest(keeping: readonly Keeping[]): Keeping | null {
  return keeping.reduce<Keeping | null>(
    (most, one) => (most === null || one.bytes > most.bytes ? one : most),
    null,
  );
}

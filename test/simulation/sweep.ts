/** Many seeds, on several threads: each takes the next one as soon as it is done. */
import { isMainThread, MessageChannel, type MessagePort, Worker, workerData } from "node:worker_threads";
import { runSeed, type SeedResult } from "./judged-run.ts";

/** Which seeds to run. */
export interface Sweep {
  readonly seeds: readonly number[];
  /** Events under faults in each. */
  readonly eventCount: number;
  readonly threadCount: number;
  /** Whether their pools are static. */
  readonly isStatic?: boolean;
  /** Whether their edges are restored from older copies. */
  readonly areRestored?: boolean;
}

/** Runs all of them; `tell` hears of each as it ends, in no particular order. */
export async function sweep(
  { seeds, eventCount, threadCount, isStatic = false, areRestored = false }: Sweep,
  tell: (result: SeedResult) => void,
): Promise<void> {
  const left = seeds.toReversed();
  const threads = Array.from({ length: Math.min(threadCount, seeds.length) }, () =>
    work(left, { eventCount, isStatic, areRestored }, tell),
  );
  await Promise.all(threads);
}

/** What all seeds of a sweep have in common. */
type SeedKind = Required<Pick<Sweep, "eventCount" | "isStatic" | "areRestored">>;

async function work(left: number[], kind: SeedKind, tell: (result: SeedResult) => void): Promise<void> {
  while (left.length > 0) await workUntilLost(left, kind, tell);
}

/** What nobody catches ends a thread: that is what came of its seed, and the others are another thread's. */
function workUntilLost(left: number[], kind: SeedKind, tell: (result: SeedResult) => void): Promise<void> {
  const { port1: port, port2: threadPort } = new MessageChannel();
  const worker = new Worker(new URL(import.meta.url), {
    workerData: { ...kind, port: threadPort },
    transferList: [threadPort],
  });
  let present: number | null = null;
  return new Promise((resolve) => {
    const next = (): void => {
      present = left.pop() ?? null;
      port.postMessage(present);
    };
    port.on("message", (result: SeedResult) => {
      tell(result);
      next();
    });
    worker.once("error", (fault: unknown) => {
      if (present !== null) tell(lost(present, fault));
    });
    worker.once("exit", () => {
      port.close();
      resolve();
    });
    next();
  });
}

function lost(seed: number, fault: unknown): SeedResult {
  const why = fault instanceof Error ? (fault.stack ?? fault.message) : String(fault);
  return { seed, hash: "", eventCount: 0, lastedMs: 0, counts: new Map(), problem: `nobody caught: ${why}` };
}

if (!isMainThread) {
  const { eventCount, isStatic, areRestored, port } = workerData as SeedKind & { readonly port: MessagePort };
  port.on("message", (seed: number | null) => {
    if (seed === null) port.close();
    else void runSeed(seed, eventCount, { isStatic, areRestored }).then((result) => port.postMessage(result));
  });
}

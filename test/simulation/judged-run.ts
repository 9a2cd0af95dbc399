/** A run, and both opinions of it: that of the checks which see everything, and that of an outsider. */
import { Run, type RunOptions, type RunReport } from "./run.ts";
import { judge } from "./second-opinion.ts";

/** What a seed came to, small enough to be sent from one thread to another. */
export interface SeedResult {
  readonly seed: number;
  readonly hash: string;
  readonly eventCount: number;
  readonly lastedMs: number;
  /** What was seen to happen, by kind. */
  readonly counts: ReadonlyMap<string, number>;
  /** The first law that did not hold, in words; null if all did. */
  readonly problem: string | null;
}

/** Runs a seed with about this many events under faults. */
export async function runSeed(seed: number, eventCount: number, options?: RunOptions): Promise<SeedResult> {
  const report = await new Run(seed, options).run(eventCount);
  const { hash, lastedMs, counts } = report;
  const isStatic = options?.isStatic === true;
  return {
    seed,
    hash,
    eventCount: report.eventCount,
    lastedMs,
    counts,
    problem: problemOf(report, isStatic),
  };
}

/** The outsider knows of leases that end with time alone, so it has no opinion of static pools. */
function problemOf({ violation, history, tellingMs }: RunReport, isStatic: boolean): string | null {
  if (violation !== null) return violation.stack ?? violation.message;
  if (isStatic) return null;
  const [verdict] = judge(history, tellingMs);
  if (verdict === undefined) return null;
  return `second opinion, law ${verdict.law} at ${verdict.atMs.toFixed(3)} ms: ${verdict.sentence}`;
}

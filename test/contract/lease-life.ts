/** A lease from its grant to its end, as the store of a table is told of it. */
import type { LeaseEvent } from "../../src/core/lease-table.ts";

interface LifeOptions {
  readonly block?: { readonly base: number; readonly order: number };
  readonly host?: string;
  readonly end?: "released" | "expired";
  /** Quarantine. */
  readonly restMs?: number;
}

/** A whole life of a lease, and what follows on it in the same command; times in Unix milliseconds. */
export function lifeOf(
  epoch: number,
  [sinceMs, untilMs]: readonly [number, number],
  { block = { base: 2048, order: 6 }, host = "h1", end = "released", restMs = 120_000 }: LifeOptions = {},
): LeaseEvent[] {
  const row = {
    ...block,
    epoch,
    host,
    instance: "an-instance",
    state: "leased",
    grantedAtMs: sinceMs,
    requestId: `r${epoch}`,
    endedAtMs: null,
    freeAtMs: null,
    steered: true,
  } as const;
  return [
    { type: "granted", row },
    { type: "ended", epoch, end, endedAtMs: untilMs, freeAtMs: untilMs + restMs },
    { type: "freed", epoch },
  ];
}

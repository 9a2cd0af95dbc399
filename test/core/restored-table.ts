/** A table that is an old copy: when it was made, when it was put in place, and time that passes for it. */
import { execute, type LeaseCommand } from "../../src/core/lease-commands.ts";
import type { LeaseTable } from "../../src/core/lease-table.ts";
import { DEFAULT_POOL_SETTINGS } from "../../src/core/pool-settings.ts";
import type { Restoration } from "../../src/core/recovery.ts";

export const COPIED_MS = 1_800_000_000_000;
/** An hour later the copy wakes up. */
export const RESTORED_MS = COPIED_MS + 3_600_000;
export const RESTORATION: Restoration = { id: "r", atMs: RESTORED_MS, waitMs: 0, areSlotsKnown: false };
/** When every lease and every quarantine that the copy cannot know is over. */
export const OVER_MS =
  RESTORED_MS + DEFAULT_POOL_SETTINGS.leaseDurationMs + DEFAULT_POOL_SETTINGS.quarantineMs;

/** Looked at every so often, as by its alarm: what is not seen to pass has not passed. [LE6] */
export function run(table: LeaseTable, command: LeaseCommand, nowMs: number) {
  if (command.type !== "restored" && table.seenAtMs > 0) {
    for (let atMs = table.seenAtMs; atMs < nowMs; atMs += 30_000) {
      execute(table, { type: "tick" }, atMs, () => 0.5);
    }
  }
  return execute(table, command, nowMs, () => 0.5).outcome;
}

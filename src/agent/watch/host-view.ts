/** What a host tells of itself while somebody looks: its leases with their times, its ports in use, its processes. [LV7] */
import type { Lease } from "../../core/lease-commands.ts";
import { TERM_MARGIN } from "../../core/lease-term.ts";
import {
  MOST_TOLD_ADDRESSES,
  MOST_TOLD_BLOCKS,
  type PastCounts,
  type TakenDecisions,
  type WatchedAddress,
  type WatchedHost,
} from "../../core/live-view.ts";
import { portCountOf, unitsOf } from "../../core/port-block.ts";
import { renewalDelayMs, renewalPhaseOf } from "../../core/renewal-time.ts";
import type { PastRecorder } from "./past-recorder.ts";
import { usedCount, type WatchedPlane } from "./plane-watch.ts";

/** An address as its host has it. */
export interface ViewedAddress {
  readonly ip: string;
  readonly leases: readonly Lease[];
  /** Null where leases have no end, or there are none. */
  readonly lease: { readonly ageMs: number; readonly durationMs: number } | null;
}

/** What is looked at. */
export interface HostViewOptions {
  readonly version: string;
  readonly startedAtMs: number;
  readonly processCount: number;
  readonly plane: WatchedPlane;
  readonly addresses: () => readonly ViewedAddress[];
  readonly recorder: PastRecorder;
  /** Unix milliseconds. */
  readonly nowMs: () => number;
}

/** One per agent. */
export class HostView {
  readonly #options: HostViewOptions;

  constructor(options: HostViewOptions) {
    this.#options = options;
  }

  /** As of now. */
  now(): WatchedHost {
    const { version, startedAtMs, processCount, plane, addresses, recorder, nowMs } = this.#options;
    let blocksLeft = MOST_TOLD_BLOCKS;
    const viewed = addresses().slice(0, MOST_TOLD_ADDRESSES);
    const told = viewed.map(({ ip, leases, lease }): WatchedAddress => {
      const used = plane.usedPorts(ip);
      blocksLeft -= leases.length;
      const inUseCount = usedCount(used);
      const blocks = blocksLeft < 0 ? undefined : leases.map((block) => viewedBlock(block, used));
      return Object.assign(leaseTimes(ip, lease, nowMs()), { ip, inUseCount, blocks });
    });
    const minute = recorder.minute();
    const { runningCount } = plane.counts();
    return { version, startedAtMs, processCount, runningCount, addresses: told, minute };
  }

  /** The last hour and the last day. */
  past(): PastCounts {
    return this.#options.recorder.past();
  }

  /** Somebody looks, and wants so many decisions each time; null when nobody does any more. */
  watch(decisionCount: number | null): void {
    this.#options.plane.watch(decisionCount);
  }

  /** Those that were made since this was called last. */
  takeDecisions(): TakenDecisions {
    return this.#options.plane.takeDecisions();
  }
}

function viewedBlock(block: Lease, used: ReadonlyMap<number, number>): [number, number, number] {
  let inUseCount = 0;
  for (const unit of unitsOf(block)) inUseCount += used.get(unit) ?? 0;
  return [block.base, portCountOf(block.order), inUseCount];
}

/** By the host's clock: when it asked, when it asks again, and when it falls silent. [LK1] [LK5] */
function leaseTimes(
  ip: string,
  lease: ViewedAddress["lease"],
  nowMs: number,
): Pick<WatchedAddress, "renewedAtMs" | "renewsAtMs" | "endsAtMs"> {
  if (lease === null) return { renewedAtMs: null, renewsAtMs: null, endsAtMs: null };
  const { ageMs, durationMs } = lease;
  const renewedAtMs = Math.max(0, Math.round(nowMs - ageMs));
  return {
    renewedAtMs,
    renewsAtMs: renewedAtMs + renewalDelayMs(renewedAtMs, durationMs, renewalPhaseOf(ip)),
    endsAtMs: Math.round(renewedAtMs + durationMs * (1 - TERM_MARGIN)),
  };
}

/** What a lease keeper is given, and what it tells. */
import type { Lease } from "../../core/lease-commands.ts";
import type { ClockReading } from "../../core/lease-term.ts";
import type { LeaseReply, LeaseRequest } from "../../core/messages.ts";
import { DEFAULT_LEASE_SETTINGS, type LeaseSettings } from "../../core/pool-settings.ts";
import { portCountOf } from "../../core/port-block.ts";
import { settingsOfSlot } from "../../core/static-slots.ts";
import type { PortControl } from "../egress/port-messages.ts";

/** What a keeper tells its owner. */
export type KeeperEvent =
  /** Leases were taken up. */
  | { readonly type: "adopted"; readonly leases: readonly Lease[] }
  /** The edge no longer lists leases that were held; their flows were reset. */
  | { readonly type: "lost"; readonly leases: readonly Lease[] }
  /** The term is over: everything was dropped and reset. [LK2] */
  | { readonly type: "lapsed" }
  /** The edge has no such address any more: static slots were dropped and reset. [SM10] */
  | { readonly type: "disowned" }
  /** The highest epoch ever seen on this address has risen; to be kept. [LK4] */
  | { readonly type: "epoch-seen"; readonly epoch: number }
  /** A grant came with an epoch from the past: the edge's table is an old copy. [LK4] */
  | { readonly type: "epoch-outdated"; readonly epoch: number; readonly highestEpoch: number }
  | { readonly type: "refused"; readonly request: LeaseRequest["type"]; readonly code: RefusalCode }
  | { readonly type: "released"; readonly epoch: number }
  /** Nothing is held any more and nothing will be asked for. [LK9] */
  | { readonly type: "drained" };

/** Why a request is not granted. */
export type RefusalCode = (LeaseReply & { type: "refused" })["code"];

/** What a keeper is given. */
export interface KeeperOptions {
  /** The key of the state directory. */
  readonly instance: string;
  readonly ports: PortControl;
  readonly clock: () => ClockReading;
  /** Numbers in [0, 1). */
  readonly random: () => number;
  /** Sends on the present connection; called between `connected` and `disconnected` only. */
  readonly send: (request: LeaseRequest) => void;
  /** Calls `tick` after this time instead of any earlier wish. */
  readonly wakeIn: (delayMs: number) => void;
  readonly onEvent: (event: KeeperEvent) => void;
  /** The highest epoch seen on this address in earlier lives; 0 for none. */
  readonly highestEpoch: number;
  /** Where the moments lie at which hosts of the address renew, as `renewalPhaseOf` tells. */
  readonly renewalPhase: number;
  /** Static slots that are this host's for good, by its own disk: used at once. [SM9] */
  readonly slots?: readonly Lease[];
  /** Units that have flows from before this began: their blocks are not held back. [SN11] */
  readonly unitsInUse?: readonly number[];
  /** Whether more may be asked for now; always, unless it is given. */
  readonly mayGrow?: () => boolean;
  readonly timing?: Partial<KeeperTiming>;
}

/** Times that a test or an operator may want otherwise, in milliseconds. */
export interface KeeperTiming {
  /** Without an answer for this long, a request is repeated. */
  readonly repeatAfterMs: number;
  /** Rest after which a block is given back. */
  readonly restMs: number;
  /** Longest wait of a drain for the releases to be answered, once nothing flows any more. */
  readonly farewellMs: number;
}

/** Within this time a host renews when the settings of its pool have changed. */
export const HURRY_MS = 1_000;
/** The wall clock may jump where no timer notices, so the keeper looks at least this often. */
export const LONGEST_SLEEP_MS = 1_000;

/** What they are otherwise. */
export const DEFAULT_TIMING: KeeperTiming = { repeatAfterMs: 5_000, restMs: 180_000, farewellMs: 2_000 };

/** The settings by which a keeper goes until the edge tells them: with slots from the disk, those of a slot. */
export function settingsAtStart([slot]: readonly Lease[]): LeaseSettings {
  if (slot === undefined) return DEFAULT_LEASE_SETTINGS;
  return settingsOfSlot({ ...DEFAULT_LEASE_SETTINGS, staticPortsPerHost: portCountOf(slot.order) });
}

/** After this time without an answer a request is repeated: several times within a lease. */
export function repeatAfterMs(timing: KeeperTiming, settings: LeaseSettings): number {
  return Math.min(timing.repeatAfterMs, settings.leaseDurationMs / 6);
}

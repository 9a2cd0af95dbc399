/**
 * A kernel that steers, as those see it who follow the pool: it can be brought to follow a
 * steering table, and then its changes. [RT2] [RT5]
 *
 * A back end stands behind this interface, such as that of nftables (`kernel/nft-kernel.ts`).
 */
import type { NextHop, SteeringEntry, SteeringTable } from "../../core/steering.ts";
import type { DropReason } from "./drop-reasons.ts";
import type { Family } from "../../core/address-family.ts";

/** An entry with the way to its host when it was, or is to be, in force. */
export interface PlacedEntry {
  readonly entry: SteeringEntry;
  readonly nextHop: NextHop | null;
}

/** What the kernel has to apply, entries and addresses resolved. */
export interface SteeringDelta {
  readonly removed: readonly PlacedEntry[];
  readonly added: readonly PlacedEntry[];
  readonly removedIps: readonly string[];
  readonly addedIps: readonly string[];
}

/** A host that holds ports of this family and that nobody has said how to reach. */
export interface Unreachable {
  readonly host: string;
  readonly family: Family;
}

/** What a repair found and did. */
export interface RepairReport {
  /** Elements that the kernel had and should not have had, or with other data. */
  readonly removedCount: number;
  readonly addedCount: number;
  /** Hosts whose ports are dropped, since nobody has said how to reach them. */
  readonly unreachable: readonly Unreachable[];
}

/** What was dropped since the router's tables were made, in packets. */
export interface DropCounts {
  readonly byReason: Readonly<Record<DropReason, number>>;
  readonly byIp: ReadonlyMap<string, number>;
}

/** What a router steers with; a simulation has its own. */
export interface SteeringKernel {
  /** Installs a table in the kernel, from whatever it has now; says what that took. */
  repair(table: SteeringTable): Promise<RepairReport>;
  /** Carries one change out, all at once; only after a repair. When it fails, nothing was done. */
  apply(delta: SteeringDelta): Promise<void>;
  /**
   * Whether packets still come by the rules; false when another program took them away. The routes
   * to hosts beyond tunnels take a command each, and can be left out. [RT10]
   */
  isInForce(areRoutesIncluded?: boolean): Promise<boolean>;
  /** Packets dropped so far, by reason and by address. */
  counts(): Promise<DropCounts>;
  /** Takes all of it out of the kernel. */
  remove(): Promise<void>;
  /** Ends what helps; the kernel goes on steering. */
  close(): Promise<void>;
}

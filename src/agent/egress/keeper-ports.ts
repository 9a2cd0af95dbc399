/**
 * The ports of an address as the lease keeper sees them: the keeper adds and removes blocks, all
 * others take ports. The machine's guard may be between the keeper and the binder.
 */
import type { Lease } from "../../core/lease-commands.ts";
import type { LeaseTerm } from "../../core/lease-term.ts";

/** The ports of one address, as far as a keeper drives them. */
export interface KeeperPorts {
  addBlock(lease: Lease): void;
  /** No new flows on the block from now on. */
  drainBlock(epoch: number): void;
  /** Takes new flows on a block again that was being drained. */
  resumeBlock(epoch: number): void;
  /** Resets what still flows on the block and forgets it. */
  removeBlock(epoch: number): void;
  /**
   * Whether nothing can leave from a block that was removed, whatever the kernel still has to say.
   * Without it, as where no guard has to be asked, a removed block is silent at once.
   */
  isSilent?(epoch: number): boolean;
  /** Set by whoever waits for removed blocks to be silent, where that can take a while. */
  onSilence?: (() => void) | null;
  /** Null: nothing may be sent. */
  setTerm(term: LeaseTerm | null): void;
  flowCount(epoch: number): number;
  capacity(): { readonly portCount: number; readonly busiestCount: number };
  /** Whether further capacity may come, so that a flow without a port should wait for it. */
  growthOutstanding: boolean;
  /** No further capacity will come for now. */
  endGrowth(): void;
}

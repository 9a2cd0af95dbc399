/** How full the kernel's tracking table is: in this network namespace, of what the machine allows each. [HS6] [MT16] */
import { readSetting } from "../../linux/kernel-commands.ts";

/** Entries of all flows that the kernel tracks, and how many there can be. */
export interface TrackingUse {
  readonly entryCount: number;
  readonly limit: number;
}

/** As of now; null where the kernel tracks nothing. */
export async function trackingUse(): Promise<TrackingUse | null> {
  const entryCount = Number((await readSetting("net/netfilter/nf_conntrack_count")) ?? NaN);
  const limit = Number((await readSetting("net/netfilter/nf_conntrack_max")) ?? NaN);
  return Number.isFinite(entryCount) && limit > 0 ? { entryCount, limit } : null;
}

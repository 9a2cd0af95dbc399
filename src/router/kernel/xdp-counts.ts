/** Packets that the program has dropped, by reason and by address. They are read while it runs. [RT4] */
import { parseListing } from "../../linux/nftables/listing.ts";
import { dropCountsOf } from "../rules/steering-snapshot.ts";
import { DROP_REASONS } from "../steering/drop-reasons.ts";
import type { DropCounts } from "../steering/steering-kernel.ts";
import { addressOf, readNumber } from "../xdp/map-layout.ts";
import type { XdpMaps } from "./xdp-maps.ts";

/** `listed` is nft's listing of the counter of what this machine should have had itself; null where there is none. */
export async function readDropCounts(
  maps: XdpMaps | null,
  ips: readonly string[],
  listed: string | null,
): Promise<DropCounts> {
  const { byReason } = dropCountsOf(listed === null ? [] : parseListing(listed));
  const counts = { ...byReason };
  const byIp = new Map<string, number>(ips.map((ip) => [ip, 0]));
  if (maps === null) return { byReason: counts, byIp };
  for (const { key, count } of await maps.readCounts("drops")) {
    const reason = DROP_REASONS[readNumber(key)];
    if (reason !== undefined) counts[reason] += count;
  }
  for (const map of ["drops4", "drops6"] as const) {
    for (const { key, count } of await maps.readCounts(map)) byIp.set(addressOf(key), count);
  }
  return { byReason: counts, byIp };
}

/** What the kernel has, as `nft -j list table` tells it. */
import type { Listed } from "../../linux/nftables/listing.ts";
import { containerId, type Contents, type NamedObject } from "./steering-transactions.ts";
import { DROP_REASONS, type DropReason } from "../steering/drop-reasons.ts";
import { isHostItself, type RouterConfig } from "../steering/router-config.ts";
import type { DropCounts } from "../steering/steering-kernel.ts";
import { addressKey, ipOf } from "./steering-elements.ts";
import { FAMILIES } from "../../linux/nftables/packet-fields.ts";
import { nameIn, REASON_SET } from "./steering-rules.ts";
import { ABSENT_COUNTER, baseChains, chainNames, containers } from "./steering-declarations.ts";
import type { TableFamily } from "../../linux/nftables/statements.ts";

/** Our tables as they are in the kernel. */
export interface Snapshot {
  /** Elements of the sets and maps that this configuration has. */
  readonly contents: Contents;
  /** What is in our tables and not of this configuration, in an order in which it can go. */
  readonly foreign: readonly NamedObject[];
}

interface ListedElement {
  readonly elem?: { readonly val: unknown; readonly counter?: { readonly packets: number } };
}

const LISTED_KINDS = ["chain", "map", "set", "counter"] as const;

/** Puts the listings of both tables beside the configuration. */
export function snapshotOf(config: RouterConfig, listed: readonly Listed[]): Snapshot {
  const contents: Contents = new Map();
  const known = new Set(containers(config).map(({ table, name }) => containerId(table, name)));
  const others = new Set([...chainNames(), ...(isHostItself(config) ? [ABSENT_COUNTER] : [])]);
  for (const { chain } of baseChains(config)) others.add(chain["name"] as string);
  for (const fields of FAMILIES) others.add(nameIn("error_rates", fields));
  const foreign: NamedObject[] = [];
  for (const object of listed) {
    const kind = LISTED_KINDS.find((candidate) => object[candidate] !== undefined);
    if (kind === undefined) continue;
    const about = object[kind] as { family: TableFamily; name: string; elem?: unknown[] };
    const id = containerId(about.family, about.name);
    if (known.has(id)) contents.set(id, elementsOf(about.elem ?? [], kind === "map"));
    else if (!others.has(about.name)) foreign.push({ kind, table: about.family, name: about.name });
  }
  return { contents, foreign };
}

/** Drops by reason and by address. */
export function dropCountsOf(listed: readonly Listed[]): DropCounts {
  const byReason = Object.fromEntries(DROP_REASONS.map((reason) => [reason, 0])) as Record<
    DropReason,
    number
  >;
  const byIp = new Map<string, number>();
  for (const { set, counter } of listed) {
    if (counter?.["name"] === ABSENT_COUNTER) byReason.absent = counter["packets"] as number;
    for (const { elem } of (set?.["elem"] as ListedElement[] | undefined) ?? []) {
      const packets = elem?.counter?.packets ?? 0;
      const reason = DROP_REASONS[Number(elem?.val) - 1];
      if (set?.["name"] !== REASON_SET) byIp.set(ipOf(keyText(elem?.val)), packets);
      else if (reason !== undefined) byReason[reason] = packets;
    }
  }
  return { byReason, byIp };
}

function elementsOf(listed: readonly unknown[], isMap: boolean): Map<string, string | number | null> {
  const elements = new Map<string, string | number | null>();
  for (const element of listed) {
    const [key, data] = isMap ? (element as [unknown, string | number]) : [element, null];
    elements.set(keyText((key as ListedElement).elem?.val ?? key), data);
  }
  return elements;
}

/** Numbers of up to 64 bits are printed as such, longer ones in hexadecimal without leading zeros. */
function keyText(key: unknown): string {
  const parts = typeof key === "object" ? (key as { concat: unknown[] }).concat : [key];
  return parts
    .map((part) => (typeof part === "string" ? addressText(part) : String(part as number)))
    .join(" ");
}

function addressText(part: string): string {
  return part.startsWith("0x") ? `0x${part.slice(2).padStart(32, "0")}` : addressKey(part);
}

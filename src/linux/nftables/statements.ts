/** Statements of nftables that every owner of a table needs, whatever is in it. */

/** The families of nftables in which this project has tables. */
export type TableFamily = "netdev" | "inet";

/** One command of nft's JSON. */
export type NftCommand = Readonly<Record<string, unknown>>;

/** One transaction as `nft -j` reads it. */
export function transactionText(commands: readonly NftCommand[]): string {
  return JSON.stringify({ nftables: commands });
}

/** Deletes a table, whether it was there or not: `add` makes `delete` succeed. */
export function tableRemoval(family: TableFamily, name: string): string[] {
  return [`add table ${family} ${name}`, `delete table ${family} ${name}`];
}

/**
 * Asks, under `nft -c`, whether a chain has a rule at this index: only beside one that is there
 * could another stand. To list a chain nft reads all elements of all sets first, which takes
 * seconds on a router of a large pool.
 */
export function ruleProbe(family: TableFamily, table: string, chain: string, index: number): string {
  return `insert rule ${family} ${table} ${chain} index ${index} counter`;
}

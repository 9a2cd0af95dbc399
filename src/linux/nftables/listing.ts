/** What `nft -j list` prints. */

/** One object under the name of its kind, such as `set` or `chain`. */
export type Listed = Readonly<Record<string, Record<string, unknown> | undefined>>;

/** The objects of nft's JSON output. */
export function parseListing(text: string): Listed[] {
  return (JSON.parse(text) as { nftables: Listed[] }).nftables;
}

/** What a pool must have before anything leaves by it, and does not. */

/** A thing that is missing, and what makes it. */
export interface Missing {
  readonly what: string;
  /** To be typed by an operator; words in capitals are for him to fill in. */
  readonly command: string;
}

/** The same commands as `ipshard pool show` says. */
export function missingOf(pool: string, addressCount: number, hostCount: number): readonly Missing[] {
  const missing: Missing[] = [];
  if (addressCount === 0)
    missing.push({ what: "The pool has no address:", command: `ipshard ip add ADDRESS --pool ${pool}` });
  if (hostCount === 0)
    missing.push({ what: "No host has enlisted:", command: `ipshard host add NAME --pool ${pool}` });
  return missing;
}

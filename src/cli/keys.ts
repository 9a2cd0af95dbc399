/** `ipshard keys`: makes the keys if there are none, and tells what others must know of them. */
import { publicPart } from "../wire/keys.ts";
import { ensureKeys } from "./key-files.ts";
import type { StateDirectory } from "./state-directory.ts";

/** The issuer's public key set as JSON text, to be set as ISSUER_KEYS of a deployed edge. */
export async function issuerKeySet(state: StateDirectory): Promise<string> {
  const { issuer } = await ensureKeys(state);
  return JSON.stringify({ keys: [publicPart(issuer)] });
}

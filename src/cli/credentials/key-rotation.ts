/** Replaces the issuer's key without an outage, and puts keys out of use. [TK7] [CI2] */
import { randomUUID } from "node:crypto";
import { link, rename, rm, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { EdgeApi } from "../../api/edge-api.ts";
import { makeDirectory } from "../../process/directories.ts";
import { generateKey, publicPart } from "../../wire/keys.ts";
import type { StatePaths } from "../state-paths.ts";
import { readKey } from "./key-files.ts";

/**
 * Makes a new issuer's key and answers its id. The edge trusts it before anything is signed with it, and the
 * former one stays beside it on disk and good, so that no token ends by this.
 */
export async function rotateIssuerKey(api: EdgeApi, state: StatePaths): Promise<string> {
  const former = await readKey(state, "issuer");
  const key = await generateKey("issuer");
  const file = state.keyFile("issuer");
  const draft = `${file}.${randomUUID()}`;
  try {
    // On disk first: a key that the edge trusts and nobody has would be of no use to anybody.
    await writeFile(draft, `${JSON.stringify(key)}\n`, { mode: 0o600, flag: "wx" });
    const { kid, x } = publicPart(key);
    const { everywhereAtMs } = await api.addIssuerKey({
      key: { kid: kid!, kty: "OKP", crv: "Ed25519", x: x! },
    });
    await delay(Math.max(0, everywhereAtMs - Date.now()));
    const kept = state.formerKeyFile(former.kid!);
    makeDirectory(dirname(kept), 0o700);
    await link(file, kept).catch((fault: NodeJS.ErrnoException) => {
      if (fault.code !== "EEXIST") throw fault;
    });
    await rename(draft, file);
    return kid!;
  } finally {
    await rm(draft, { force: true });
  }
}

/** Puts a key out of use at the edge, then forgets it here. Answers its id. */
export async function retireKey(api: EdgeApi, kid: string, state: StatePaths): Promise<string> {
  await api.retireKey({ kid });
  await rm(state.formerKeyFile(kid), { force: true });
  return kid;
}

/** The private keys on disk: made once, readable by their owner alone, never replaced. [CI2] */
import { randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import { link, readdir, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { JWK } from "jose";
import { makeDirectory } from "../../process/directories.ts";
import { generateKey, type KeyKind, kindOf, publicPart } from "../../wire/keys.ts";
import { CommandFault } from "../../process/command-fault.ts";
import type { StatePaths } from "../state-paths.ts";
import { FileTooLarge, readSmallFile } from "../../process/small-file.ts";

/** Both private keys of an installation. */
export interface KeyPairs {
  readonly issuer: JWK;
  readonly edge: JWK;
}

/** Reads both keys, and makes what is absent. */
export async function ensureKeys(state: StatePaths): Promise<KeyPairs> {
  return { issuer: await ensureKey(state, "issuer"), edge: await ensureKey(state, "edge") };
}

/**
 * The issuer's public keys as JSON text, to be set as ISSUER_KEYS of a deployed edge: the present one, and
 * those that it has replaced and that are good still. Makes what is absent.
 */
export async function issuerKeySet(state: StatePaths): Promise<string> {
  const { issuer } = await ensureKeys(state);
  return JSON.stringify({ keys: [issuer, ...(await formerKeys(state))].map(publicPart) });
}

async function formerKeys(state: StatePaths): Promise<JWK[]> {
  if (!existsSync(state.formerKeys)) return [];
  const files = (await readdir(state.formerKeys)).filter((file) => file.endsWith(".json"));
  return Promise.all(files.toSorted().map((file) => readKeyFile(join(state.formerKeys, file), "issuer")));
}

/** Reads a key that must exist. */
export async function readKey(state: StatePaths, kind: KeyKind): Promise<JWK> {
  return readKeyFile(state.keyFile(kind), kind);
}

async function readKeyFile(file: string, kind: KeyKind): Promise<JWK> {
  let text: string;
  try {
    text = await readSmallFile(file);
  } catch (fault) {
    if (fault instanceof FileTooLarge)
      throw new CommandFault("key-malformed", `${file} is no key: ${fault.message}.`, fault);
    if ((fault as NodeJS.ErrnoException).code !== "ENOENT") throw fault;
    throw new CommandFault("key-missing", `There is no ${kind} key at ${file}. Make it with: ipshard keys`);
  }
  const key = parseJson(text) as JWK | null | undefined;
  if (typeof key?.d !== "string" || typeof key.kid !== "string" || kindOf(key.kid) !== kind) {
    throw new CommandFault(
      "key-malformed",
      `${file} is not a private ${kind} key of ipshard. Put the former key back; or move the file away, and a new key is made.`,
    );
  }
  return key;
}

async function ensureKey(state: StatePaths, kind: KeyKind): Promise<JWK> {
  const file = state.keyFile(kind);
  // One that is there needs no room on the disk.
  if (existsSync(file)) return readKey(state, kind);
  makeDirectory(dirname(file), 0o700);
  const draft = `${file}.${randomUUID()}`;
  try {
    await writeFile(draft, `${JSON.stringify(await generateKey(kind))}\n`, { mode: 0o600, flag: "wx" });
    // A link appears whole or not at all and replaces nothing: of two makers one wins.
    await link(draft, file);
  } catch (fault) {
    if ((fault as NodeJS.ErrnoException).code !== "EEXIST") throw fault;
  } finally {
    await rm(draft, { force: true });
  }
  return readKey(state, kind);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

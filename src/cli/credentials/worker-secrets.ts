/** The secrets that the Worker of `wrangler.toml` needs, and files that keep them. [DP1] */
import { randomUUID } from "node:crypto";
import { rename, rm, writeFile } from "node:fs/promises";
import type { StatePaths } from "../state-paths.ts";
import { ensureKeys, issuerKeySet } from "./key-files.ts";
import { readSmallFile } from "../../process/small-file.ts";

/** By the names that `wrangler.toml` asks for. */
export type WorkerSecrets = Readonly<Record<"ISSUER_KEYS" | "EDGE_KEY", string>>;

/** The secrets of an edge that has these keys. Makes keys that are absent. */
export async function workerSecrets(state: StatePaths): Promise<WorkerSecrets> {
  const { edge } = await ensureKeys(state);
  return { ISSUER_KEYS: await issuerKeySet(state), EDGE_KEY: JSON.stringify(edge) };
}

/** Writes a file that its owner alone can read, whole or not at all, whoever could read what was there before. */
export async function writePrivately(file: string, text: string): Promise<void> {
  const draft = `${file}.${randomUUID()}`;
  try {
    await writeFile(draft, text, { mode: 0o600, flag: "wx" });
    await rename(draft, file);
  } finally {
    await rm(draft, { force: true });
  }
}

/** Puts the secrets into a `.dev.vars`, which `wrangler dev` reads; what else stands there stays. */
export async function writeDevVars(file: string, secrets: WorkerSecrets): Promise<void> {
  const names = new Set(Object.keys(secrets));
  const former = (await readIfThere(file)).split("\n");
  const kept = former.filter((line) => line !== "" && !names.has(line.split("=")[0]!.trim()));
  // In single quotes nothing has a meaning of its own; JSON of keys has none in it.
  const ours = Object.entries(secrets).map(([name, value]) => `${name}='${value}'`);
  await writePrivately(file, `${[...kept, ...ours].join("\n")}\n`);
}

async function readIfThere(file: string): Promise<string> {
  try {
    return await readSmallFile(file);
  } catch (fault) {
    if ((fault as NodeJS.ErrnoException).code === "ENOENT") return "";
    throw fault;
  }
}

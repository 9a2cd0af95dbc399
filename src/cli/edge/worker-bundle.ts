/**
 * The edge's modules as one, the way `wrangler deploy` would bundle them: at the start from the sources of
 * a checkout, and once, when it is built, for a package. [PK3]
 */
import { readFile, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { CommandFault } from "../../process/command-fault.ts";
import { isBuilt, ownFile } from "../../process/own-files.ts";
import { runBundler } from "./bundler-process.ts";

/** What the edge is made of: in a package it names the built Worker beside it. */
export const WRANGLER_TOML = ownFile(isBuilt ? "dist/edge/wrangler.toml" : "wrangler.toml");

const OPTIONS = [
  "--bundle",
  "--format=esm",
  "--target=es2024",
  "--conditions=workerd,worker,browser",
  "--main-fields=browser,module,main",
  "--external:cloudflare:*",
  "--external:node:*",
  '--define:process.env.NODE_ENV="production"',
  "--log-level=warning",
];

/** A file or directory that `wrangler.toml` names relative to itself. */
export function besideDeclaration(path: string): string {
  return join(dirname(WRANGLER_TOML), path);
}

/** Puts the Worker of `wrangler.toml`, whose entry module it names relative to itself, into a file. */
export async function placeWorker(main: string, outfile: string): Promise<void> {
  const entry = besideDeclaration(main);
  await writeFile(outfile, isBuilt ? await readFile(entry) : await bundleWorker(entry));
}

/**
 * The bundle of this entry; nothing where more options of esbuild's name a file for it. Throws
 * `edge-config-invalid` if it cannot be bundled.
 */
export async function bundleWorker(entry: string, more: readonly string[] = []): Promise<string> {
  const esbuild = createRequire(import.meta.url).resolve("esbuild/bin/esbuild");
  const { isDone, said, complaints } = await runBundler(esbuild, [entry, ...OPTIONS, ...more]);
  if (!isDone) throw new CommandFault("edge-config-invalid", `The edge cannot be bundled:\n${complaints}`);
  if (complaints !== "") console.error(complaints);
  return said;
}

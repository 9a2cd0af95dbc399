/** The edge's modules as one, the way `wrangler deploy` would bundle them. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { text } from "node:stream/consumers";
import { CommandFault } from "../../process/command-fault.ts";

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

/**
 * Bundles this entry into a file; throws `edge-config-invalid` if it cannot be bundled.
 *
 * esbuild runs in a process group of its own: its library's service would get the Ctrl-C that
 * is meant for this process, and take this process down with it.
 */
export async function bundleWorker(entry: string, outfile: string): Promise<void> {
  const esbuild = createRequire(import.meta.url).resolve("esbuild/bin/esbuild");
  const child = spawn(esbuild, [entry, ...OPTIONS], {
    detached: true,
    stdio: ["ignore", "pipe", "pipe"],
  });
  const [bundle, complaints, [code]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, "close"),
  ]);
  if (code !== 0) throw new CommandFault("edge-config-invalid", `The edge cannot be bundled:\n${complaints}`);
  if (complaints !== "") console.error(complaints);
  await writeFile(outfile, bundle);
}

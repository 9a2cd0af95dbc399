/** The Nodes that the package says it runs on: the oldest, and the one that runs the tests. */
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { personEnvironment } from "../runner/person-environment.ts";

const run = promisify(execFile);

/** As the manifest's `engines` have it. */
export const OLDEST_NODE = "22.15.0";

const KEPT = join(import.meta.dirname, "../../node_modules/.cache/ipshard", `node-${OLDEST_NODE}`);
const OLDEST_PROGRAM = join(KEPT, "node_modules/node/bin/node");

/** The program, fetched as a package where it is not yet: stages of tests have no network, their runner has. */
export async function oldestNode(): Promise<string> {
  if (existsSync(OLDEST_PROGRAM)) return OLDEST_PROGRAM;
  await mkdir(dirname(KEPT), { recursive: true });
  const scratch = await mkdtemp(`${KEPT}-`);
  const manifest = { private: true, dependencies: { node: OLDEST_NODE }, allowScripts: { node: true } };
  await writeFile(join(scratch, "package.json"), JSON.stringify(manifest));
  await run("npm", ["install", "--prefer-offline", "--no-audit", "--no-fund", "--no-package-lock"], {
    cwd: scratch,
    env: personEnvironment(),
  });
  // Another may have been quicker.
  if (existsSync(OLDEST_PROGRAM)) await rm(scratch, { recursive: true });
  else await rename(scratch, KEPT);
  return OLDEST_PROGRAM;
}

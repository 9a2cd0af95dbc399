/**
 * The dashboard's files, as the edge serves them: in a package they are there; in a checkout they are built of
 * their sources when an edge is started, if they are not there or older. [DA8]
 */
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, rename, rm, stat } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { CommandFault } from "../../process/command-fault.ts";
import { isBuilt, ownFile } from "../../process/own-files.ts";
import { runBundler } from "./bundler-process.ts";

const SHELL = "index.html";
/** Whatever the page is made of. */
const SOURCES = ["dashboard", "core", "wire", "api", "plan"].map((folder) => join("src", folder));

/**
 * Sees to it that the page is in this directory, and is what its sources say. Why it cannot be built is told,
 * and the edge starts all the same: a page that is broken stops no request.
 */
export async function placePage(directory: string, say: (sentence: string) => void): Promise<void> {
  if (isBuilt || !(await isOutdated(directory))) return;
  await mkdir(directory, { recursive: true });
  const fresh = await mkdtemp(`${directory}-`);
  try {
    await buildPage(fresh);
    await replacePage(directory, fresh);
  } catch (fault) {
    if (!(fault instanceof CommandFault)) throw fault;
    say(fault.message);
  } finally {
    await rm(fresh, { recursive: true, force: true });
  }
}

/** Builds the page into a directory; throws `edge-config-invalid` if it cannot be built. */
export async function buildPage(outdir: string): Promise<void> {
  const words = ["build", "--config", ownFile("src/dashboard/vite.config.ts"), "--outDir", outdir];
  const { isDone, said, complaints } = await runBundler(process.execPath, [
    viteProgram(),
    ...words,
    "--emptyOutDir",
    "--logLevel",
    "warn",
  ]);
  if (isDone) return;
  throw new CommandFault("edge-config-invalid", `The dashboard cannot be built:\n${said}${complaints}`);
}

function viteProgram(): string {
  // What it exports does not name it.
  const manifest = createRequire(import.meta.url).resolve("vite/package.json");
  return join(dirname(manifest), "bin/vite.js");
}

async function isOutdated(directory: string): Promise<boolean> {
  const shell = join(directory, SHELL);
  if (!existsSync(shell)) return true;
  const { mtimeMs } = await stat(shell);
  const times = await Promise.all(SOURCES.map((folder) => newestMs(ownFile(folder))));
  return Math.max(...times) > mtimeMs;
}

async function newestMs(folder: string): Promise<number> {
  const names = await readdir(folder, { recursive: true }).catch(() => []);
  // An editor's files come and go.
  const looks = await Promise.all(names.map((name) => stat(join(folder, name)).catch(() => null)));
  return Math.max(0, ...looks.map((look) => look?.mtimeMs ?? 0));
}

/**
 * File by file, and the shell when all that it names is there: an edge that serves this directory goes on
 * serving it, and two that are started at once do the same.
 */
export async function replacePage(directory: string, fresh: string): Promise<void> {
  const files = await filesIn(fresh);
  for (const file of files.toSorted((a, b) => Number(a === SHELL) - Number(b === SHELL))) {
    await mkdir(dirname(join(directory, file)), { recursive: true });
    await rename(join(fresh, file), join(directory, file));
  }
  const former = (await filesIn(directory)).filter((file) => !files.includes(file));
  await Promise.all(former.map((file) => rm(join(directory, file), { force: true })));
}

async function filesIn(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => join(parentPath, name).slice(directory.length + 1));
}

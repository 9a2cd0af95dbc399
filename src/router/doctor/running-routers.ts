/**
 * Which routers run on this machine, as the kernel knows it: their command lines, where they were
 * started, and whether they were paused. "This machine" is one network: a router in another
 * namespace steers by other rules.
 */
import { readdir, readFile, readlink } from "node:fs/promises";
import { resolve } from "node:path";
import { configured } from "../../process/configuration.ts";
import { isOwnProgram } from "../../process/own-files.ts";
import { parseCommandLine, routerCommand, type RouterOptions } from "../command-line.ts";

/** One router process. */
export interface RunningRouter {
  readonly pid: number;
  /** Stopped by a signal: it does nothing, and the kernel steers on. */
  readonly isPaused: boolean;
  /** As it was started with, paths made absolute. */
  readonly options: RouterOptions;
}

/** Routers of this network namespace that steer. */
export interface RunningRouters {
  readonly seen: readonly RunningRouter[];
  /** Others of which only root can tell whether they are of this namespace, and where they were started. */
  readonly hiddenPids: readonly number[];
}

/** Looks at all processes. */
export async function runningRouters(): Promise<RunningRouters> {
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  const found = await Promise.all(pids.map((pid) => lookAt(pid)));
  return {
    seen: found.filter((router) => router !== null && router !== "hidden"),
    hiddenPids: pids.filter((_, at) => found[at] === "hidden").map(Number),
  };
}

/** Options whose files are those of a process that was started in this directory. */
export function withPathsFrom(directory: string, options: RouterOptions): RouterOptions {
  return {
    ...options,
    tokenFile: resolve(directory, options.tokenFile),
    stateDirectory: resolve(directory, options.stateDirectory),
  };
}

async function lookAt(pid: string): Promise<RunningRouter | "hidden" | null> {
  try {
    const words = (await readFile(`/proc/${pid}/cmdline`, "utf8")).split("\0").slice(0, -1);
    const at = words.findIndex((word) => isOwnProgram(word, "router"));
    if (at < 0 || (await networkOf(pid)) !== (await networkOf("self"))) return null;
    const directory = await readlink(`/proc/${pid}/cwd`);
    const stat = await readFile(`/proc/${pid}/stat`, "utf8");
    // What it was told by its environment and by a file counts, too.
    const said = { directory, environment: await environmentOf(pid) };
    const { args } = await configured(
      "router",
      routerCommand(() => {}),
      words.slice(at + 1),
      said,
    );
    const options = parseCommandLine(args, () => {});
    if (options === null || options.isDryRun) return null;
    // The name stands in parentheses, and may itself hold some; the state follows the last one.
    const state = stat.slice(stat.lastIndexOf(")") + 2)[0];
    return { pid: Number(pid), isPaused: state === "T", options: withPathsFrom(directory, options) };
  } catch (fault) {
    const code = String((fault as NodeJS.ErrnoException).code);
    // It ended meanwhile.
    if (code === "ENOENT" || code === "ESRCH") return null;
    // What every user may read of it has said that it is a router.
    if (code === "EACCES" || code === "EPERM") return "hidden";
    throw fault;
  }
}

async function environmentOf(pid: string): Promise<Record<string, string>> {
  const lines = (await readFile(`/proc/${pid}/environ`, "utf8")).split("\0");
  return Object.fromEntries(
    lines
      .filter((line) => line.includes("="))
      .map((line) => [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1)]),
  );
}

function networkOf(pid: string): Promise<string> {
  return readlink(`/proc/${pid}/ns/net`);
}

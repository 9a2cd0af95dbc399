/**
 * Who stands between a person and this process: the npm that runs it as `npx ipshard …` or as a
 * script, the shell that npm puts between, and an older Node that had to start a newer one. Whatever
 * one starts is what one can end: a SIGKILL cannot be passed on, and the shell passes on nothing
 * at all, so they are watched, and when one of them is gone this process ends too. [AG5]
 */
import { isAlive, type ProcessIdentity, viewProcess } from "./process-identity.ts";

/** Holds the pid of the Node that started this one in its place (`bin/ipshard.js`). */
const LAUNCHER_VARIABLE = "IPSHARD_LAUNCHER";
const POLL_MS = 500;

/** The launchers of a process, the nearest first; none for one that was started by itself. */
export function findLaunchers(
  parentPid: number = process.ppid,
  env: NodeJS.ProcessEnv = process.env,
): ProcessIdentity[] {
  const found: ProcessIdentity[] = [];
  let parent = viewProcess(parentPid);
  // Children of ours inherit the variable, but not the parent.
  if (parent !== null && env[LAUNCHER_VARIABLE] === String(parent.pid)) {
    found.push(parent);
    parent = viewProcess(parent.parentPid);
  }
  if (env["npm_lifecycle_event"] === undefined || parent === null) return found;
  found.push(parent);
  const isShell = /^(\S*\/)?(sh|dash|bash|zsh) -c /.test(parent.commandLine);
  const npm = isShell ? viewProcess(parent.parentPid) : null;
  if (npm !== null) found.push(npm);
  return found;
}

/** Calls back once, when the first of them has gone. It keeps no process alive. */
export function watchLaunchers(launchers: readonly ProcessIdentity[], onGone: () => void): () => void {
  if (launchers.length === 0) return () => {};
  const timer = setInterval(() => {
    if (launchers.every(isAlive)) return;
    clearInterval(timer);
    onGone();
  }, POLL_MS);
  timer.unref();
  return () => clearInterval(timer);
}

/**
 * Who stands between a person and this process: the npm that runs it as `npx ipshard …` or as a
 * script, the shell that npm puts between, and an older Node that had to start a newer one. Whatever
 * one starts is what one can end: a SIGKILL cannot be passed on, and the shell passes on nothing
 * at all, so they are watched, and when one of them is gone this process ends too. [AG5]
 */
import { isAlive, type ProcessIdentity, type ProcessView, viewProcess } from "./process-identity.ts";

/** Holds the pid of the Node that started this one in its place (`bin/ipshard.js`). */
const LAUNCHER_VARIABLE = "IPSHARD_LAUNCHER";
const POLL_MS = 500;

/** No process that lives. */
const GONE: ProcessIdentity = { pid: 1, startedAt: "" };
/** Programs that run scripts, and the shell that they put between. */
const RUNNER = /^(\S*\/)?(npm|npx|yarn|pnpm|bun|bunx|node|nodejs)( |$)/;
const SHELL = /^(\S*\/)?(sh|dash|bash|zsh) -c /;
/** Like the first process of a machine it takes over children whose parent has ended. */
const SYSTEMD = /^(\S*\/)?systemd( |$)/;

/**
 * The launchers of a process, the nearest first; none for one that was started by itself. One that
 * was gone before anybody looked is among them, and is not alive.
 */
export function findLaunchers(
  parentPid: number = process.ppid,
  env: NodeJS.ProcessEnv = process.env,
): ProcessIdentity[] {
  const found: ProcessIdentity[] = [];
  const isOfNpm = env["npm_lifecycle_event"] !== undefined;
  let parent = viewProcess(parentPid);
  // It was killed within the first moments of its child, which is somebody else's now.
  if ((isOfNpm || env[LAUNCHER_VARIABLE] !== undefined) && hasTakenOver(parent)) return [GONE];
  // Children of ours inherit the variable, but not the parent.
  if (parent !== null && env[LAUNCHER_VARIABLE] === String(parent.pid)) {
    found.push(parent);
    parent = viewProcess(parent.parentPid);
  }
  if (!isOfNpm || parent === null) return found;
  if (hasTakenOver(parent)) return [...found, GONE];
  found.push(parent);
  if (!SHELL.test(parent.commandLine)) return found;
  const npm = viewProcess(parent.parentPid);
  return [...found, npm === null || hasTakenOver(npm) ? GONE : npm];
}

/** Whether this is no launcher, but who has its children now. In a container npm may be the first process. */
function hasTakenOver(process: ProcessView | null): boolean {
  if (process === null) return true;
  return (process.pid === 1 || SYSTEMD.test(process.commandLine)) && !RUNNER.test(process.commandLine);
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

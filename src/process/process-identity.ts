/**
 * Which process is it? A pid alone is reused; together with the moment it began it names one
 * process for as long as the machine runs. Read from /proc, elsewhere asked of `ps`. [CI6]
 */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";

/** One process, never another that has its pid later. */
export interface ProcessIdentity {
  readonly pid: number;
  /** Opaque; equal for the same process only. */
  readonly startedAt: string;
}

/** A living process. */
export interface ProcessView extends ProcessIdentity {
  readonly parentPid: number;
  readonly commandLine: string;
}

/** What runs under this pid now; null if nothing does, or only a zombie. */
export function viewProcess(pid: number): ProcessView | null {
  if (!Number.isInteger(pid) || pid <= 0) return null;
  return process.platform === "linux" ? viewInProc(pid) : viewByPs(pid);
}

/** Whether this very process still runs. */
export function isAlive(identity: ProcessIdentity): boolean {
  return viewProcess(identity.pid)?.startedAt === identity.startedAt;
}

/** The identity of the process that runs this code. */
export function ownIdentity(): ProcessIdentity {
  const view = viewProcess(process.pid);
  if (view === null) throw new Error("this process cannot find itself in the process table");
  return { pid: view.pid, startedAt: view.startedAt };
}

/** The number of threads among the fields behind the name (proc(5): the 20th of all). */
const THREAD_COUNT_AT = 17;

function viewInProc(pid: number): ProcessView | null {
  let stat: string;
  let commandLine: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    commandLine = readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ").trimEnd();
  } catch {
    return null;
  }
  // The second field is the program's name in brackets, which may itself hold brackets and blanks.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const [state, parent] = fields;
  // Its first thread may have ended while others still hold what it listens on.
  const isOver = state === "Z" && Number(fields[THREAD_COUNT_AT]) <= 1;
  if (isOver || state === "X") return null;
  return { pid, startedAt: `${bootId()}/${fields[19]}`, parentPid: Number(parent), commandLine };
}

let knownBootId: string | null = null;

/** Start times count from the boot, so they mean something only together with it. */
function bootId(): string {
  knownBootId ??= readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  return knownBootId;
}

const PS_LINE = /^(\S+)\s+(\d+)\s+(\w{3} +\w{3} +\d+ +[\d:]{8} +\d{4})\s+(.*)$/;

function viewByPs(pid: number): ProcessView | null {
  const options = { encoding: "utf8", env: { ...process.env, LC_ALL: "C" } } as const;
  const { stdout } = spawnSync("ps", ["-ww", "-o", "stat=,ppid=,lstart=,command=", "-p", `${pid}`], options);
  return readPsLine(pid, stdout ?? "");
}

/** Reads the one line that `ps` prints of a process. */
export function readPsLine(pid: number, line: string): ProcessView | null {
  const match = PS_LINE.exec(line.trim());
  if (match === null || match[1]!.startsWith("Z")) return null;
  return {
    pid,
    startedAt: match[3]!.replace(/ +/g, " "),
    parentPid: Number(match[2]),
    commandLine: match[4]!,
  };
}

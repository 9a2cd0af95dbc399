/**
 * A generator of small packets whose kernel does all that becomes of them in the generator's own system
 * calls, on one processor: what a packet costs there is the generator and all behind it together.
 */
import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

/**
 * A rate that is never reached. With one, trafgen sends each packet by a system call of its
 * own, and its headers lie together in memory as those from a network card do.
 */
const PACE = ["--rate", "50000000pps"];
const WARM_UP_MS = 400;

/** What is sent, and where it begins. */
export interface Generation {
  readonly namespace: string;
  readonly device: string;
  /** As trafgen reads them. */
  readonly packets: string;
  /** For a file. */
  readonly directory: string;
  readonly windowMs: number;
}

/** Throws unless packets can be generated here. */
export function expectGenerator(): void {
  if (process.getuid?.() !== 0) throw new Error("this needs root, to make network namespaces");
  const { error } = spawnSync("trafgen", ["--version"], { stdio: "ignore" });
  if (error !== undefined) {
    throw new Error("this needs trafgen, of Debian's package netsniff-ng", { cause: error });
  }
}

/** Sends for a while; µs of processor a packet. */
export async function generate(generation: Generation): Promise<number> {
  const { namespace, device, windowMs } = generation;
  const config = join(generation.directory, "packets");
  await writeFile(config, generation.packets);
  const words = ["--dev", device, "-c", config, "--cpus", "1", ...PACE];
  const child = spawn("ip", ["netns", "exec", namespace, "trafgen", ...words], { stdio: "ignore" });
  const ended = once(child, "exit");
  try {
    await sleep(WARM_UP_MS);
    const start = sample(child, device);
    await sleep(windowMs);
    const end = sample(child, device);
    if (end.packets === start.packets) throw new Error("trafgen sends nothing");
    return (end.cpuNs - start.cpuNs) / 1000 / (end.packets - start.packets);
  } finally {
    for (const pid of [...childrenOf(child.pid!), child.pid!]) process.kill(pid, "SIGKILL");
    await ended;
  }
}

/** Packets by a device, since it is there. */
export interface Traffic {
  readonly rxPackets: number;
  readonly txPackets: number;
}

/** What has come and gone by a device of a namespace. */
export function trafficOf(namespace: string, device: string): Traffic {
  const words = ["netns", "exec", namespace, "cat", "/proc/net/dev"];
  return parseTraffic(execFileSync("ip", words, { encoding: "utf8" }), device);
}

function parseTraffic(text: string, device: string): Traffic {
  const line = text.split("\n").find((candidate) => candidate.trim().startsWith(`${device}:`))!;
  const figures = line
    .slice(line.indexOf(":") + 1)
    .trim()
    .split(/\s+/)
    .map(Number);
  return { rxPackets: figures[1]!, txPackets: figures[9]! };
}

/** What the generator has used and sent so far; the kernel's work for its packets counts as its own. */
function sample(child: ChildProcess, device: string): { cpuNs: number; packets: number } {
  const pids = [child.pid!, ...childrenOf(child.pid!)];
  const times = pids.map((pid) => Number(readFileSync(`/proc/${pid}/schedstat`, "utf8").split(" ")[0]));
  const { txPackets } = parseTraffic(readFileSync(`/proc/${child.pid}/net/dev`, "utf8"), device);
  return { cpuNs: times.reduce((sum, time) => sum + time, 0), packets: txPackets };
}

function childrenOf(pid: number): number[] {
  const listed = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim();
  return listed === "" ? [] : listed.split(" ").map(Number);
}

/** What a process and all that it started have used, from /proc. */
import { readdir, readFile } from "node:fs/promises";

const TICKS_PER_SECOND = 100;

interface Stat {
  readonly pid: number;
  readonly parent: number;
  readonly cpuS: number;
}

/** CPU time of the tree, user and system, with the children that have ended. */
export async function cpuSecondsOf(pid: number): Promise<number> {
  let cpuS = 0;
  for (const stat of await treeOf(pid)) cpuS += stat.cpuS;
  return cpuS;
}

/** Memory of the tree in MB: each page counts once, however many share it. */
export async function memoryMbOf(pid: number): Promise<number> {
  let kB = 0;
  for (const stat of await treeOf(pid)) {
    const rollup = await readFile(`/proc/${stat.pid}/smaps_rollup`, "utf8").catch(() => "");
    kB += Number(/^Pss:\s+(\d+)/m.exec(rollup)?.[1] ?? 0);
  }
  return kB / 1024;
}

async function treeOf(pid: number): Promise<Stat[]> {
  const names = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  const stats = (await Promise.all(names.map(statOf))).filter((stat) => stat !== null);
  const members = new Set([pid]);
  // A child may have a lower number than its parent where numbers have gone round.
  for (let before = 0; before < members.size;) {
    before = members.size;
    for (const stat of stats) if (members.has(stat.parent)) members.add(stat.pid);
  }
  return stats.filter((stat) => members.has(stat.pid));
}

/** Null for one that has ended meanwhile. */
async function statOf(name: string): Promise<Stat | null> {
  const text = await readFile(`/proc/${name}/stat`, "utf8").catch(() => null);
  if (text === null) return null;
  const fields = text
    .slice(text.lastIndexOf(")") + 2)
    .split(" ")
    .map(Number);
  // Its own in user and system, then that of the children it has waited for.
  const ticks = fields[11]! + fields[12]! + fields[13]! + fields[14]!;
  return { pid: Number(name), parent: fields[1]!, cpuS: ticks / TICKS_PER_SECOND };
}

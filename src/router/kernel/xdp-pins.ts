/**
 * The program and its maps as files: pinned in a BPF file system, they stay when the router ends, and the next router
 * finds them. [RT5] [RT6]
 *
 *   <directory>/<version of the program>-<fine lines>/program
 *                                                    /maps/lines4 …
 *
 * Another version, or a table that needs more fine lines, gets a directory of its own. It is filled before it takes
 * the place of the former, so that no packet meets a table that is not complete.
 */
import { createHash } from "node:crypto";
import { mkdir, readdir, readFile, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { BpftoolSession } from "../../linux/bpftool-session.ts";
import { BPF_MOUNT } from "./bpf-file-system.ts";
import { XdpMaps } from "./xdp-maps.ts";

const PROGRAM = "ipshard_steer";

/** Where a router of this table of this network namespace pins what it has. */
export function pinDirectoryOf(table: string, networkNamespace: number): string {
  return join(BPF_MOUNT, "ipshard", `${networkNamespace}_${table}`);
}

/** The same for a router of this process's own network. */
export async function ownPinDirectory(table: string): Promise<string> {
  return pinDirectoryOf(table, (await stat("/proc/self/ns/net")).ino);
}

/** One loaded program. */
export interface PinnedProgram {
  readonly maps: XdpMaps;
  /** As bpftool takes it. */
  readonly program: readonly string[];
  /** The number that the kernel has given to it. */
  readonly id: number;
  /** Fine lines that there is place for. */
  readonly fineCapacity: number;
  readonly directory: string;
}

/** What is pinned of this version with place for at least so many fine lines; null when there is none. */
export async function findProgram(
  session: BpftoolSession,
  parent: string,
  object: string,
  fineCapacity: number,
): Promise<PinnedProgram | null> {
  const version = await versionOf(object);
  for (const name of await namesIn(parent)) {
    const [of, capacity] = name.split("-");
    if (of !== version || Number(capacity) < fineCapacity) continue;
    if ((await namesIn(join(parent, name))).includes("program"))
      return pinnedAt(session, join(parent, name), Number(capacity), false);
  }
  return null;
}

/** Loads the program and makes its maps, all of them empty. */
export async function loadProgram(
  session: BpftoolSession,
  parent: string,
  object: string,
  fineCapacity: number,
): Promise<PinnedProgram> {
  const directory = join(parent, `${await versionOf(object)}-${fineCapacity}`);
  await rm(directory, { recursive: true, force: true });
  await mkdir(join(directory, "maps"), { recursive: true });
  const fine = join(directory, "fine");
  const programs = join(directory, "programs");
  const about = ["type", "array", "key", "4", "value", "128", "name", "fine_lines"];
  await session.run(["map", "create", fine, ...about, "entries", String(fineCapacity)]);
  const maps = ["map", "name", "fine_lines", "pinned", fine, "pinmaps", join(directory, "maps")];
  await session.run(["prog", "loadall", object, programs, "type", "xdp", ...maps]);
  // Last, since by its being there a directory is known to be complete.
  await session.run(["prog", "pin", "pinned", join(programs, PROGRAM), join(directory, "program")]);
  return pinnedAt(session, directory, fineCapacity, true);
}

/** Takes away what other versions have pinned. */
export async function removeOthers({ directory }: PinnedProgram): Promise<void> {
  const parent = dirname(directory);
  for (const name of await namesIn(parent)) {
    const other = join(parent, name);
    if (name.includes("-") && other !== directory) await rm(other, { recursive: true, force: true });
  }
}

async function pinnedAt(
  session: BpftoolSession,
  directory: string,
  fineCapacity: number,
  isFresh: boolean,
): Promise<PinnedProgram> {
  const program = ["pinned", join(directory, "program")];
  const { id } = (await session.list(["prog", "show", ...program])) as { id: number };
  const maps = new XdpMaps(session, (name) => ["pinned", join(directory, "maps", name)], isFresh);
  return { maps, program, id, fineCapacity, directory };
}

/** A program that is changed in any way is another one. */
async function versionOf(object: string): Promise<string> {
  return createHash("sha256")
    .update(await readFile(object))
    .digest("hex")
    .slice(0, 16);
}

async function namesIn(directory: string): Promise<string[]> {
  try {
    return await readdir(directory);
  } catch (fault) {
    if ((fault as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw fault;
  }
}

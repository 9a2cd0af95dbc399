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
import type { MapElement } from "../../linux/map-dump.ts";
import { addressBytes, addressOf, type Line, numberBytes, readLine, readNumber } from "../xdp/map-layout.ts";
import { BPF_MOUNT } from "./bpf-file-system.ts";

const PROGRAM = "ipshard_steer";

/** The maps that the router writes and reads. */
export type MapName =
  | "lines4"
  | "lines6"
  | "fine_lines"
  | "hops"
  | "devices"
  | "settings"
  | "drops"
  | "drops4"
  | "drops6";

/** Elements of a map of a value for each processor. */
type ListedPerCpu = {
  readonly key: readonly string[];
  readonly values: readonly { readonly value: readonly string[] }[];
}[];

/** Where a router of this table of this network namespace pins what it has. */
export function pinDirectoryOf(table: string, networkNamespace: number): string {
  return join(BPF_MOUNT, "ipshard", `${networkNamespace}_${table}`);
}

/** The same for a router of this process's own network. */
export async function ownPinDirectory(table: string): Promise<string> {
  return pinDirectoryOf(table, (await stat("/proc/self/ns/net")).ino);
}

/** One loaded program with its maps. */
export class XdpMaps {
  readonly fineCapacity: number;
  /** Whether nothing is in its maps yet, so that they need not be read. */
  readonly isFresh: boolean;
  readonly #session: BpftoolSession;
  readonly #directory: string;

  private constructor(session: BpftoolSession, directory: string, fineCapacity: number, isFresh: boolean) {
    this.isFresh = isFresh;
    this.#session = session;
    this.#directory = directory;
    this.fineCapacity = fineCapacity;
  }

  /** What is pinned of this version with place for at least so many fine lines; null when there is none. */
  static async find(
    session: BpftoolSession,
    parent: string,
    object: string,
    fineCapacity: number,
  ): Promise<XdpMaps | null> {
    const version = await versionOf(object);
    for (const name of await namesIn(parent)) {
      const [of, capacity] = name.split("-");
      if (of !== version || Number(capacity) < fineCapacity) continue;
      if (!(await namesIn(join(parent, name))).includes("program")) continue;
      return new XdpMaps(session, join(parent, name), Number(capacity), false);
    }
    return null;
  }

  /** Loads the program and makes its maps, all of them empty. */
  static async load(
    session: BpftoolSession,
    parent: string,
    object: string,
    fineCapacity: number,
  ): Promise<XdpMaps> {
    const directory = join(parent, `${await versionOf(object)}-${fineCapacity}`);
    await rm(directory, { recursive: true, force: true });
    await mkdir(join(directory, "maps"), { recursive: true });
    const fine = join(directory, "fine");
    const about = ["type", "array", "key", "4", "value", "128", "name", "fine_lines"];
    await session.run(["map", "create", fine, ...about, "entries", String(fineCapacity)]);
    const maps = ["map", "name", "fine_lines", "pinned", fine, "pinmaps", join(directory, "maps")];
    await session.run(["prog", "loadall", object, join(directory, "programs"), "type", "xdp", ...maps]);
    // Last, since by its being there a directory is known to be complete.
    await session.run([
      "prog",
      "pin",
      "pinned",
      join(directory, "programs", PROGRAM),
      join(directory, "program"),
    ]);
    return new XdpMaps(session, directory, fineCapacity, true);
  }

  /** The program, as bpftool takes it. */
  get program(): readonly string[] {
    return ["pinned", join(this.#directory, "program")];
  }

  /** The number that the kernel has given to the program. */
  async programId(): Promise<number> {
    const { id } = (await this.#session.list(["prog", "show", ...this.program])) as { id: number };
    return id;
  }

  /** The elements of a map. */
  async read(name: MapName): Promise<MapElement[]> {
    return this.isFresh ? [] : this.#session.dump(this.#pinned(name));
  }

  /** The lines of all addresses of both families. */
  async readLines(): Promise<Map<string, Line>> {
    const listed = await Promise.all([this.read("lines4"), this.read("lines6")]);
    return new Map(listed.flat().map(({ key, value }) => [addressOf(key), readLine(value)]));
  }

  /** All fine lines by their numbers, those that nothing names as well. */
  async readFineLines(): Promise<Map<number, Line>> {
    const listed = await this.read("fine_lines");
    return new Map(listed.map(({ key, value }) => [readNumber(key), readLine(value)]));
  }

  /** The counts of a map, summed over all processors. */
  async readCounts(name: "drops" | "drops4" | "drops6"): Promise<{ key: Uint8Array; count: number }[]> {
    const listed = (await this.#session.list(["map", "dump", ...this.#pinned(name)])) as ListedPerCpu;
    return listed.map(({ key, values }) => ({
      key: bytesOf(key),
      count: values.reduce((sum, { value }) => sum + Number(numberIn(bytesOf(value))), 0),
    }));
  }

  /** A line of bpftool that writes an element; by number, or by address. */
  update(name: MapName, key: number | string, value: Uint8Array | Line): string {
    const text = value instanceof Uint32Array ? lineText(value) : hex(value);
    return `map update ${this.#pinned(name).join(" ")} key hex ${keyText(key)} value hex ${text}`;
  }

  /** A line of bpftool that takes an element away. */
  deletion(name: MapName, key: number | string): string {
    return `map delete ${this.#pinned(name).join(" ")} key hex ${keyText(key)}`;
  }

  /** Carries lines out, in order. */
  write(lines: readonly string[]): Promise<void> {
    return this.#session.write(lines);
  }

  /** Takes away what other versions have pinned. */
  async removeOthers(): Promise<void> {
    const parent = dirname(this.#directory);
    for (const name of await namesIn(parent)) {
      const other = join(parent, name);
      if (name.includes("-") && other !== this.#directory) await rm(other, { recursive: true, force: true });
    }
  }

  #pinned(name: MapName): readonly string[] {
    return ["pinned", join(this.#directory, "maps", name)];
  }
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

function keyText(key: number | string): string {
  return hex(typeof key === "number" ? numberBytes(key) : addressBytes(key));
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => HEX_TABLE[byte]).join(" ");
}

const HEX_TABLE = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));

/** Few numbers stand in many lines, so the text of each is kept. */
function lineText(line: Line): string {
  const words: string[] = [];
  for (const entry of line) {
    let text = ENTRY_TEXTS.get(entry);
    if (text === undefined) {
      if (ENTRY_TEXTS.size >= MOST_ENTRY_TEXTS) ENTRY_TEXTS.clear();
      text = hex(numberBytes(entry));
      ENTRY_TEXTS.set(entry, text);
    }
    words.push(text);
  }
  return words.join(" ");
}

const ENTRY_TEXTS = new Map<number, string>();
const MOST_ENTRY_TEXTS = 16_384;

function bytesOf(words: readonly string[]): Uint8Array {
  return Uint8Array.from(words, Number);
}

function numberIn(bytes: Uint8Array): bigint {
  return new DataView(bytes.buffer).getBigUint64(0, true);
}

/** The maps of one program, read and written by bpftool. */
import type { BpftoolSession } from "../../linux/bpftool-session.ts";
import type { MapElement } from "../../linux/map-dump.ts";
import { addressBytes, addressOf, type Line, numberBytes, readLine, readNumber } from "../xdp/map-layout.ts";

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

/** All maps of one program. */
export class XdpMaps {
  readonly #session: BpftoolSession;
  readonly #placeOf: (name: MapName) => readonly string[];
  readonly #isEmpty: boolean;

  /** `placeOf` gives a map as bpftool takes it; maps that are known to be empty need not be read. */
  constructor(session: BpftoolSession, placeOf: (name: MapName) => readonly string[], isEmpty = false) {
    this.#session = session;
    this.#placeOf = placeOf;
    this.#isEmpty = isEmpty;
  }

  /** The elements of a map. */
  async read(name: MapName): Promise<MapElement[]> {
    return this.#isEmpty ? [] : this.#session.dump(this.#placeOf(name));
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
    const listed = (await this.#session.list(["map", "dump", ...this.#placeOf(name)])) as ListedPerCpu;
    return listed.map(({ key, values }) => ({
      key: bytesOf(key),
      count: values.reduce((sum, { value }) => sum + Number(numberIn(bytesOf(value))), 0),
    }));
  }

  /** A line of bpftool that writes an element; by number, or by address. */
  update(name: MapName, key: number | string, value: Uint8Array | Line): string {
    const text = value instanceof Uint32Array ? lineText(value) : hex(value);
    return `map update ${this.#placeOf(name).join(" ")} key hex ${keyText(key)} value hex ${text}`;
  }

  /** A line of bpftool that takes an element away. */
  deletion(name: MapName, key: number | string): string {
    return `map delete ${this.#placeOf(name).join(" ")} key hex ${keyText(key)}`;
  }

  /** Carries lines out, in order. */
  write(lines: readonly string[]): Promise<void> {
    return this.#session.write(lines);
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

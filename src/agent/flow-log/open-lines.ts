/**
 * What is open of the things that a writer's lines are about, and which lines say so: a file that goes
 * would take them along, and whoever looks for a time must know how far back to read. [AT7]
 */
import type { LineWriter } from "./line-writer.ts";

/** One that is open. */
export interface OpenThing {
  readonly startMs: number;
  /** Its lines up to now. */
  readonly lines: string[];
  /** The file that has them, or one before it. */
  fileNumber: number;
}

/** Of one writer. */
export class OpenLines {
  readonly #open = new Map<string, OpenThing>();
  /** Those whose last line is on its way: until it is written they count as open. */
  readonly #ending: { readonly startMs: number; readonly batch: number }[] = [];

  /** Begins one with a line. */
  begin(id: string, startMs: number, line: string, writer: LineWriter): OpenThing {
    const thing: OpenThing = { startMs, lines: [line], fileNumber: writer.fileNumber };
    this.#open.set(id, thing);
    writer.append(line);
    return thing;
  }

  has(id: string): boolean {
    return this.#open.has(id);
  }

  /** Adds a line to one. */
  add(thing: OpenThing, line: string, writer: LineWriter): void {
    thing.lines.push(line);
    writer.append(line);
  }

  /** Ends one with a line. */
  end(id: string, line: string, writer: LineWriter): void {
    const thing = this.#open.get(id);
    if (thing === undefined) return;
    this.#open.delete(id);
    writer.append(line);
    this.#forgetEnded(writer);
    this.#ending.push({ startMs: thing.startMs, batch: writer.batch });
  }

  /** When the oldest began; null for none. */
  openSinceMs(writer: LineWriter): number | null {
    this.#forgetEnded(writer);
    const [oldest] = this.#open.values();
    const startMs = this.#ending.reduce(
      (min, ended) => Math.min(min, ended.startMs),
      oldest?.startMs ?? Infinity,
    );
    return startMs === Infinity ? null : startMs;
  }

  /** Lines that would go with the files up to this one. */
  carriedOver(number: number, into: number): string[] {
    const lines: string[] = [];
    for (const thing of this.#open.values()) {
      if (thing.fileNumber > number) continue;
      lines.push(...thing.lines);
      thing.fileNumber = into;
    }
    return lines;
  }

  #forgetEnded(writer: LineWriter): void {
    let count = 0;
    while (count < this.#ending.length && this.#ending[count]!.batch <= writer.doneBatch) count += 1;
    if (count > 0) this.#ending.splice(0, count);
  }
}

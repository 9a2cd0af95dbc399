/**
 * Appends lines to the files of one writer, and keeps them within a size.
 *
 * Nobody waits for it: lines are gathered for a turn of the event loop and handed to the kernel together,
 * while the next ones gather. What the kernel has survives the process's end, however sudden. What cannot be
 * written is counted. [AT7]
 */
import { AsyncLocalStorage } from "node:async_hooks";
import { type FileHandle, mkdir, open, stat, unlink } from "node:fs/promises";
import { join } from "node:path";
import { fileName, type LogFile, logFiles } from "./log-files.ts";

/** How a writer works. */
export interface LineWriterOptions {
  readonly directory: string;
  readonly writer: string;
  /** Of all its files. */
  readonly maxBytes: number;
  /** The first line of a file that begins now. */
  readonly head: () => string;
  /** To be written once more, since the file that has it goes: what is open and was begun in it. */
  readonly carriedOver: (number: number) => readonly string[];
  /** Told when lines cannot be written, once until some can again. */
  readonly onFault: (fault: unknown) => void;
}

/** What became of the lines. */
export interface WriterCounts {
  readonly written: number;
  /** Could not be written, or there were too many at once. */
  readonly lost: number;
  /** Of all its files. */
  readonly bytes: number;
}

const FILE_COUNT = 8;
/** What may wait for the disk, in characters. */
const MAX_WAITING = 8 * 1024 * 1024;

/** A line is no part of the flow in which it was thought of. */
const outsideFlows = AsyncLocalStorage.snapshot();

/** From `open` until `close`. */
export class LineWriter {
  readonly #options: LineWriterOptions;
  #files: { readonly file: LogFile; bytes: number }[] = [];
  #handle: FileHandle | null = null;
  #number = 0;
  #waiting: string[] = [];
  #waitingLength = 0;
  #pumping: Promise<void> | null = null;
  #batch = 1;
  #doneBatch = 0;
  #written = 0;
  #lost = 0;
  #isClosed = false;
  #isFailing = false;
  #isOverfull = false;
  /** The last write may have broken off in the middle of a line. */
  #isTorn = false;

  constructor(options: LineWriterOptions) {
    this.#options = options;
  }

  /** Begins a new file, before anything is written. Rejects when there can be none. */
  async open(): Promise<void> {
    const { directory, writer } = this.#options;
    await mkdir(directory, { recursive: true, mode: 0o700 });
    for (const file of await logFiles(directory)) {
      if (file.writer !== writer) continue;
      this.#files.push({ file, bytes: (await stat(file.path)).size });
      this.#number = file.number;
    }
    await this.#begin();
  }

  /** The number of the file that is written now. */
  get fileNumber(): number {
    return this.#number;
  }

  /** The batch of lines that gathers now. */
  get batch(): number {
    return this.#batch;
  }

  /** The last batch that was handed to the kernel, or lost. */
  get doneBatch(): number {
    return this.#doneBatch;
  }

  get counts(): WriterCounts {
    const bytes = this.#files.reduce((sum, file) => sum + file.bytes, 0);
    return { written: this.#written, lost: this.#lost, bytes };
  }

  /** Writes a line soon. */
  append(line: string): void {
    const isTooMuch = this.#waitingLength + line.length > MAX_WAITING;
    if (this.#isClosed || isTooMuch) {
      this.#lost += 1;
      // Who it was will not be known: whoever reads the log of the process hears so, once for as long as it lasts.
      if (!this.#isClosed && !this.#isOverfull) {
        this.#isOverfull = true;
        this.#options.onFault(new Error("More is logged than the disk takes."));
      }
      return;
    }
    this.#waiting.push(line);
    this.#waitingLength += line.length + 1;
    this.#pumping ??= outsideFlows(() => this.#pump());
  }

  /** Done when all is with the kernel that was appended before. */
  async flush(): Promise<void> {
    while (this.#pumping !== null) await this.#pumping;
  }

  /** What comes later is lost, as it is when a process ends. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.flush();
    await this.#handle?.close();
    this.#handle = null;
  }

  async #pump(): Promise<void> {
    // What comes in the same turn is written together.
    await new Promise<void>((resolve) => {
      setImmediate(resolve);
    });
    while (this.#waiting.length > 0) {
      const lines = this.#waiting;
      this.#waiting = [];
      this.#waitingLength = 0;
      this.#batch += 1;
      try {
        await this.#write(lines);
        this.#isFailing = false;
      } catch (fault) {
        this.#lost += lines.length;
        this.#isTorn = true;
        if (!this.#isFailing) this.#options.onFault(fault);
        this.#isFailing = true;
      }
      this.#doneBatch = this.#batch - 1;
    }
    this.#isOverfull = false;
    this.#pumping = null;
  }

  async #write(lines: readonly string[]): Promise<void> {
    const current = this.#files.at(-1);
    if (this.#handle === null || current!.bytes >= this.#options.maxBytes / FILE_COUNT) await this.#begin();
    await this.#put(lines);
    this.#written += lines.length;
  }

  async #put(lines: readonly string[]): Promise<void> {
    const bytes = Buffer.from(`${this.#isTorn ? "\n" : ""}${lines.join("\n")}\n`);
    const { bytesWritten } = await this.#handle!.write(bytes);
    this.#files.at(-1)!.bytes += bytesWritten;
    if (bytesWritten < bytes.length) throw new Error("The disk took a part of it only.");
    this.#isTorn = false;
  }

  /** Begins a file, and gives up the oldest ones for it. */
  async #begin(): Promise<void> {
    const { directory, writer, head, maxBytes, carriedOver } = this.#options;
    const number = this.#number + 1;
    const path = join(directory, fileName(writer, number));
    // Its first line is there before anything else can be, or there is no file.
    const headBytes = Buffer.from(`${head()}\n`);
    const handle = await open(path, "ax", 0o600);
    try {
      const { bytesWritten } = await handle.write(headBytes);
      if (bytesWritten < headBytes.length) throw new Error("The disk took a part of it only.");
    } catch (fault) {
      await handle.close();
      await unlink(path);
      throw fault;
    }
    await this.#handle?.close();
    this.#handle = handle;
    this.#number = number;
    this.#isTorn = false;
    this.#files.push({ file: { path, writer, number }, bytes: headBytes.length });
    // Room for a whole file is made before it is needed.
    const mostBytes = maxBytes - maxBytes / FILE_COUNT;
    while (this.#files.length > 1 && this.counts.bytes > mostBytes) {
      const [oldest] = this.#files;
      const carried = carriedOver(oldest!.file.number);
      if (carried.length > 0) await this.#put(carried);
      await unlink(oldest!.file.path);
      this.#files.shift();
    }
  }
}

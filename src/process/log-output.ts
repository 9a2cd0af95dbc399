/**
 * Where a process's log goes, in such a way that the log can do it no harm. [AG6]
 *
 * A write may fail (a full disk, a closed pipe) or hang (a pipe that nobody reads, a terminal that
 * is stopped). So nothing is written in a way that waits; what
 * is not taken at once stays in a bounded queue, and what is lost is counted, and said before the
 * first line that can be written again.
 */
import { closeSync, constants, fstatSync, openSync, writeSync } from "node:fs";
import { isatty } from "node:tty";

/** What may wait for a reader that is slow. */
const MAX_WAITING_BYTES = 1_048_576;
const RETRY_MS = 100;
/** How long the last words may wait for a slow reader when the process ends. */
const LAST_WORDS_MS = 200;
const LAST_WORDS_STEP_MS = 5;

/** Says as a line of the log, its end included, how many were lost. */
export type LossNotice = (lostCount: number) => string;

/** Bytes that are to be written, at first a whole line; or that so many lines are lost here. */
type Entry = Buffer | { lostCount: number };

/** A log's destination for whole lines. */
export class LogOutput {
  readonly #fd: number;
  readonly #notice: LossNotice;
  #waiting: Entry[] = [];
  #waitingBytes = 0;
  /** The file ends in the middle of a line. */
  #isTorn = false;
  #timer: NodeJS.Timeout | null = null;

  /** For a descriptor of this process; it is not closed. */
  constructor(descriptor: number, notice: LossNotice) {
    this.#fd = openNonBlocking(descriptor);
    this.#notice = notice;
  }

  /** Takes a line with its end. Never throws, never waits. */
  write(line: string): void {
    const bytes = Buffer.from(line);
    if (this.#waitingBytes + bytes.length <= MAX_WAITING_BYTES) {
      this.#waiting.push(bytes);
      this.#waitingBytes += bytes.length;
    } else {
      const last = this.#waiting.at(-1);
      if (last === undefined || Buffer.isBuffer(last)) this.#waiting.push({ lostCount: 1 });
      else last.lostCount += 1;
    }
    // While the file takes nothing it is the timer that tries again, not every line.
    if (this.#timer === null) this.#writeWaiting();
  }

  /** For the end of the process: a last chance for what waits, bounded in time. */
  end(): void {
    const endMs = performance.now() + LAST_WORDS_MS;
    const pause = new Int32Array(new SharedArrayBuffer(4));
    this.#writeWaiting();
    while (this.#waiting.length > 0 && performance.now() < endMs) {
      Atomics.wait(pause, 0, 0, LAST_WORDS_STEP_MS);
      this.#writeWaiting();
    }
    if (this.#timer !== null) clearTimeout(this.#timer);
    if (this.#fd > 2) closeSync(this.#fd);
  }

  #writeWaiting(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    while (this.#waiting.length > 0) {
      if (this.#writeFirst()) continue;
      this.#timer = setTimeout(() => this.#writeWaiting(), RETRY_MS);
      this.#timer.unref();
      return;
    }
  }

  /** Answers whether the file took something. */
  #writeFirst(): boolean {
    const entry = this.#waiting[0]!;
    const bytes = Buffer.isBuffer(entry)
      ? entry
      : Buffer.from((this.#isTorn ? "\n" : "") + this.#notice(entry.lostCount));
    const written = this.#tryWrite(bytes);
    if (written === 0) this.#loseAll();
    if (written === null || written === 0) return false;
    this.#waiting.shift();
    if (Buffer.isBuffer(entry)) this.#waitingBytes -= written;
    this.#isTorn = written < bytes.length;
    if (this.#isTorn) {
      this.#waiting.unshift(bytes.subarray(written));
      if (!Buffer.isBuffer(entry)) this.#waitingBytes += bytes.length - written;
    }
    return true;
  }

  #loseAll(): void {
    let lostCount = 0;
    for (const entry of this.#waiting) lostCount += Buffer.isBuffer(entry) ? 1 : entry.lostCount;
    this.#waiting = [{ lostCount }];
    this.#waitingBytes = 0;
  }

  /** How many bytes the file took; 0 when it takes none at all, null when it does not yet. */
  #tryWrite(bytes: Buffer): number | null {
    try {
      return writeSync(this.#fd, bytes);
    } catch (fault) {
      const { code } = fault as NodeJS.ErrnoException;
      return code === "EAGAIN" || code === "EINTR" ? null : 0;
    }
  }
}

/**
 * What may make us wait, a pipe or a terminal, by a description of our own: the flag that says "do
 * not block" belongs to the description, and others write by the old one. Where that cannot be had
 * (a socket, another system) Node sets the flag on what there is. A file never makes us wait, and
 * its position is to stay shared.
 */
function openNonBlocking(descriptor: number): number {
  const { O_NOCTTY, O_NONBLOCK, O_WRONLY } = constants;
  try {
    const kind = fstatSync(descriptor);
    if (kind.isFile()) return descriptor;
    if (process.platform === "linux" && !kind.isSocket()) {
      return openSync(`/proc/self/fd/${descriptor}`, O_WRONLY | O_NONBLOCK | O_NOCTTY);
    }
  } catch {
    // It is closed, and each write will be counted; or it is another user's.
  }
  // Asking for the stream is what sets the flag; its own faults are not waited for.
  if (descriptor === 2 && !isatty(descriptor)) process.stderr.on("error", () => {});
  return descriptor;
}

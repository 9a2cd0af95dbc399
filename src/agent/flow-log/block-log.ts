/**
 * Which blocks this host may use, and since when, on disk: what RFC 6888 REQ-13 to REQ-15 want to be
 * logged, a line for a block and not for a flow. It hears of them where the ports do. [AT5] So it does of the units
 * in which the kernel translates: those flows are in no log. [AT12]
 *
 *     keeper → guard → this → ports
 */
import type { PortCommand, PortControl, PortReport } from "../egress/port-messages.ts";
import { rangeOf } from "../../core/port-block.ts";
import type { FlowLogLevel } from "../../wire/flow-answer.ts";
import { LineWriter, type WriterCounts } from "./line-writer.ts";
import {
  blockLine,
  headLine,
  type LoggedBlock,
  type LoggedTranslation,
  translationEndLine,
  translationLine,
} from "./log-lines.ts";
import { OpenLines } from "./open-lines.ts";

/** How a host logs its blocks. */
export interface BlockLogOptions {
  readonly directory: string;
  /** What is logged on this host: the log says so itself, for whoever asks later. */
  readonly level: FlowLogLevel;
  readonly destinations: boolean;
  readonly maxBytes: number;
  readonly onFault: (fault: unknown) => void;
  readonly now?: () => number;
}

/** The writer's name; those of flows are numbers. */
export const BLOCKS_WRITER = "blocks";

/** From `open` until `close`. */
export class BlockLog {
  readonly #isOn: boolean;
  readonly #now: () => number;
  readonly #writer: LineWriter;
  readonly #open = new OpenLines();

  constructor({ directory, level, destinations, maxBytes, onFault, now = Date.now }: BlockLogOptions) {
    this.#isOn = level !== "off";
    this.#now = now;
    const run = `${now().toString(36)}-b`;
    this.#writer = new LineWriter({
      directory,
      writer: BLOCKS_WRITER,
      maxBytes,
      onFault,
      head: () =>
        headLine({
          run,
          level,
          destinations,
          atMs: now(),
          openSinceMs: this.#open.openSinceMs(this.#writer),
        }),
      carriedOver: (going) => this.#open.carriedOver(going, this.#writer.fileNumber),
    });
  }

  /** Rejects when the disk does not take it. */
  async open(): Promise<void> {
    await this.#writer.open();
  }

  get counts(): WriterCounts {
    return this.#writer.counts;
  }

  /** Done when all is with the kernel that was noted before. */
  async flush(): Promise<void> {
    await this.#writer.flush();
  }

  async close(): Promise<void> {
    await this.#writer.close();
  }

  /** The ports of an address, seen from their keeper: what they are told is noted on its way. */
  noting(ip: string, ports: PortControl): PortControl {
    return this.#isOn ? new NotingControl(this, ip, ports) : ports;
  }

  translationBegan(translation: LoggedTranslation): void {
    if (!this.#isOn) return;
    const startMs = this.#now();
    const line = translationLine(translation, startMs);
    this.#open.begin(idOfTranslation(translation), startMs, line, this.#writer);
  }

  translationEnded(translation: LoggedTranslation): void {
    if (!this.#isOn) return;
    const line = translationEndLine(translation, this.#now());
    this.#open.end(idOfTranslation(translation), line, this.#writer);
  }

  began(block: LoggedBlock): void {
    const startMs = this.#now();
    this.#open.begin(idOf(block), startMs, blockLine("block", block, startMs), this.#writer);
  }

  ended(block: LoggedBlock): void {
    this.#open.end(idOf(block), blockLine("block-end", block, this.#now()), this.#writer);
  }
}

/** Passes everything on, and looks at the blocks. */
class NotingControl implements PortControl {
  readonly #log: BlockLog;
  readonly #ip: string;
  readonly #ports: PortControl;
  /** By epoch. */
  #blocks = new Map<number, LoggedBlock>();

  constructor(log: BlockLog, ip: string, ports: PortControl) {
    this.#log = log;
    this.#ip = ip;
    this.#ports = ports;
  }

  get onReport(): ((report: PortReport) => void) | null {
    return this.#ports.onReport;
  }

  set onReport(listener: ((report: PortReport) => void) | null) {
    this.#ports.onReport = listener;
  }

  command(command: PortCommand): void {
    // Without a term nothing may leave from a block, though the keeper still counts it as its own.
    const usable = command.term === null ? [] : command.blocks;
    const blocks = new Map<number, LoggedBlock>();
    for (const { lease } of usable) {
      const { first, last } = rangeOf(lease);
      blocks.set(lease.epoch, { ip: this.#ip, first, last, epoch: lease.epoch });
    }
    const before = this.#blocks;
    this.#blocks = blocks;
    // What comes is noted before anything can leave from it.
    for (const [epoch, block] of blocks) if (!before.has(epoch)) this.#log.began(block);
    this.#ports.command(command);
    for (const [epoch, block] of before) if (!blocks.has(epoch)) this.#log.ended(block);
  }

  close(): void {
    this.#ports.close?.();
    for (const block of this.#blocks.values()) this.#log.ended(block);
    this.#blocks.clear();
  }
}

function idOf({ ip, epoch }: LoggedBlock): string {
  return `${ip} ${epoch}`;
}

function idOfTranslation({ ip, first }: LoggedTranslation): string {
  return `${ip} translation ${first}`;
}

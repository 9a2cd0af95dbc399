/**
 * The flow log of one process: every flow when it begins and when it is over, on disk. [AT5]
 *
 *     traffic ──begins, ended──▶ FlowLog ──lines──▶ LineWriter ──▶ flow-log/0-00000001.jsonl
 */
import { LineWriter, type WriterCounts } from "./line-writer.ts";
import type { FlowNote, FlowPlace, FlowRecorder, FlowSender, LeavingFlow } from "../egress/flow-recorder.ts";
import { endLine, flowLine, headLine, placeText, toLine, useLine } from "./log-lines.ts";
import { OpenLines, type OpenThing } from "./open-lines.ts";

/** How a process logs. */
export interface FlowLogOptions {
  readonly directory: string;
  /** Number of the process; 0 for the agent itself. */
  readonly process: number;
  /** Whether it says where flows go. RFC 6888 REQ-12 wants it not to. */
  readonly destinations: boolean;
  readonly maxBytes: number;
  readonly onFault: (fault: unknown) => void;
  readonly now?: () => number;
}

/** Clients, and places, that are noted of one flow. */
const MAX_NOTED = 64;

/** From `open` until `close`. */
export class FlowLog implements FlowRecorder {
  readonly #options: FlowLogOptions;
  readonly #now: () => number;
  readonly #run: string;
  readonly #writer: LineWriter;
  readonly #open = new OpenLines();
  #count = 0;

  constructor(options: FlowLogOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
    const { directory, process: number, maxBytes, onFault, destinations } = options;
    this.#run = `${this.#now().toString(36)}-${number}`;
    this.#writer = new LineWriter({
      directory,
      writer: String(number),
      maxBytes,
      onFault,
      head: () =>
        headLine({
          run: this.#run,
          level: "flows",
          destinations,
          atMs: this.#now(),
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

  begins(flow: LeavingFlow): FlowNote {
    this.#count += 1;
    const id = `${this.#run}-${this.#count}`;
    const startMs = this.#now();
    const line = flowLine(id, flow, startMs, this.#options.destinations);
    return new NotedFlow(this, id, flow, this.#open.begin(id, startMs, line, this.#writer));
  }

  /** Another client uses it. */
  used(id: string, place: FlowPlace, thing: OpenThing, sender: FlowSender): void {
    if (this.#open.has(id)) this.#open.add(thing, useLine(id, place, this.#now(), sender), this.#writer);
  }

  /** It goes to a further place. */
  sent(id: string, place: FlowPlace, thing: OpenThing, to: FlowPlace): void {
    if (this.#open.has(id)) this.#open.add(thing, toLine(id, place, this.#now(), to), this.#writer);
  }

  /** It is over. */
  ended(id: string, place: FlowPlace, sent: number, received: number): void {
    this.#open.end(id, endLine(id, place, { endMs: this.#now(), sent, received }), this.#writer);
  }

  /** Whether it says where flows go. */
  get tellsDestinations(): boolean {
    return this.#options.destinations;
  }

  /** Done when all is with the kernel that was noted before. */
  async flush(): Promise<void> {
    await this.#writer.flush();
  }

  async close(): Promise<void> {
    await this.#writer.close();
  }
}

/** One flow; most have one client and one destination, and cost two lines. */
class NotedFlow implements FlowNote {
  readonly #log: FlowLog;
  readonly #id: string;
  readonly #place: FlowPlace;
  readonly #thing: OpenThing;
  readonly #first: FlowSender;
  #others: Set<string> | null = null;
  #places: Set<string> | null = null;

  constructor(log: FlowLog, id: string, { ip, port, sender }: LeavingFlow, thing: OpenThing) {
    this.#log = log;
    this.#id = id;
    this.#place = { ip, port };
    this.#thing = thing;
    this.#first = sender;
  }

  usedBy(sender: FlowSender): void {
    const { client, clientAddress } = sender;
    if (client === this.#first.client && clientAddress === this.#first.clientAddress) return;
    const others = (this.#others ??= new Set());
    const key = `${client}\0${clientAddress}`;
    if (others.has(key) || others.size >= MAX_NOTED) return;
    others.add(key);
    this.#log.used(this.#id, this.#place, this.#thing, sender);
  }

  sentTo(place: FlowPlace): void {
    if (!this.#log.tellsDestinations) return;
    const places = (this.#places ??= new Set());
    const key = placeText(place);
    if (places.has(key) || places.size >= MAX_NOTED) return;
    places.add(key);
    this.#log.sent(this.#id, this.#place, this.#thing, place);
  }

  ended(sentBytes: number, receivedBytes: number): void {
    this.#log.ended(this.#id, this.#place, sentBytes, receivedBytes);
  }
}

/**
 * WebSockets between agents or routers and the objects of the edge, with two ends that need not
 * know the same: one may be gone while the other waits, until silence tells.
 */
import type { Link, LinkOptions } from "../../src/link/edge-link.ts";
import { BackOff } from "../../src/process/back-off.ts";
import type { Outcome } from "../../src/core/outcome.ts";
import type { ObjectEnd } from "./object-end.ts";
import type { Process } from "./machine.ts";
import { type Network, Stream } from "./network.ts";

/** As those of the real link. */
const FIRST_HEARTBEAT_MS = 1_000;
const SILENCE_MS = 5_000;
const HANDSHAKE_MS = 5_000;
const PROOF_MS = 30_000;
/** After which the edge gives up a peer that fell silent. */
const EDGE_TIMEOUT_MS = { from: 10_000, to: 90_000 };

/** Where a link leads: connects it there and answers. */
export type Dial = (
  connection: Connection,
  url: URL,
  answer: (outcome: Outcome<ObjectEnd, string>) => void,
  peer: string,
) => void;

/** One connection, from the attempt to make it on. */
export class Connection {
  readonly up: Stream;
  readonly down: Stream;
  readonly #network: Network;
  readonly #link: SimulatedLink<unknown>;
  readonly #process: Process;
  #end: ObjectEnd | null = null;
  #isLost = false;
  /** Heartbeats go out this often, counted from then; and the last one before that. */
  #beats: { readonly everyMs: number; readonly fromMs: number; readonly beforeMs: number | null };
  /** When the peer's end went. */
  #closedAtMs: number | null = null;

  constructor(
    network: Network,
    link: SimulatedLink<unknown>,
    process: Process,
    objectName: string,
    everyMs: number,
  ) {
    this.#beats = { everyMs, fromMs: network.timeline.nowMs, beforeMs: null };
    this.#network = network;
    this.#link = link;
    this.#process = process;
    const { name } = process.machine;
    this.up = new Stream(network, network.way(name, objectName));
    this.down = new Stream(network, network.way(objectName, name));
  }

  /** The edge has taken the connection. */
  accepted(end: ObjectEnd): void {
    this.#end = end;
    this.#beats = { ...this.#beats, fromMs: this.#network.timeline.nowMs };
    this.down.carry(() => this.#link.opened(this, end));
  }

  refused(code: string): void {
    this.down.carry(() => this.#link.closed(this, code));
  }

  /** From the object. */
  toPeer(text: string): void {
    const deliver = (): void => this.#link.received(this, text);
    if (this.#link.isCareless) this.down.carryCarelessly(deliver);
    else this.down.carry(deliver);
  }

  closeToPeer(reason: string): void {
    this.down.carry(() => this.#link.closed(this, reason));
  }

  /** The object has lost its end without a word; mostly the peer hears of it at once. */
  lostByObject(): void {
    this.#isLost = true;
    if (this.#network.chance.isLikely(0.7)) this.closeToPeer("");
    else this.#link.lookLater(this, this.untilBeatMs);
  }

  /** Whether nothing comes through any more, be it for a while. */
  get isDead(): boolean {
    return this.#isLost || (this.up.way.cutAtMs ?? this.down.way.cutAtMs) !== null;
  }

  /** Until the next heartbeat. */
  get untilBeatMs(): number {
    const { everyMs, fromMs } = this.#beats;
    return everyMs - ((this.#network.timeline.nowMs - fromMs) % everyMs);
  }

  beatEvery(everyMs: number): void {
    if (everyMs === this.#beats.everyMs) return;
    this.#beats = { everyMs, fromMs: this.#network.timeline.nowMs, beforeMs: this.heartbeatAtMs() };
  }

  /** The peer's end is gone. */
  closedByPeer(isSaid: boolean): void {
    if (this.#closedAtMs !== null) return;
    const { timeline, chance } = this.#network;
    this.#closedAtMs = timeline.nowMs;
    this.down.isOver = true;
    const tell = (): void => {
      const end = this.#end;
      if (end !== null) end.object.peerClosed(end);
    };
    if (isSaid && this.up.way.cutAtMs === null) this.up.carry(tell);
    else timeline.after(chance.between(EDGE_TIMEOUT_MS.from, EDGE_TIMEOUT_MS.to), tell);
  }

  /** When the edge heard the last heartbeat, in true time; null for never. */
  heartbeatAtMs(): number | null {
    const lastMs = Math.min(
      this.#network.timeline.nowMs,
      this.#closedAtMs ?? Infinity,
      this.#process.stoppedAtMs ?? Infinity,
      this.up.way.cutAtMs ?? Infinity,
    );
    const { everyMs, fromMs, beforeMs } = this.#beats;
    const beats = Math.floor((lastMs - fromMs) / everyMs);
    return beats < 1 ? beforeMs : fromMs + beats * everyMs;
  }
}

/** What a link of a process can be told beside what it is told in production. */
export interface LinkWorld {
  readonly network: Network;
  readonly process: Process;
  /** Whose token it shows. */
  readonly peer: string;
  readonly dial: Dial;
  /** Sees every message that the peer sends, and every one that it reads. */
  readonly watch: (url: URL, direction: "sent" | "read", text: string) => void;
}

/** Does what the real link does, over a network of our own. */
export class SimulatedLink<Message> implements Link {
  /** Whether single messages may be lost: those of leases bear it. */
  readonly isCareless: boolean;
  readonly #options: LinkOptions<Message>;
  readonly #world: LinkWorld;
  readonly #backOff: BackOff;
  #isStarted = false;
  #heartbeatMs = FIRST_HEARTBEAT_MS;
  #connection: Connection | null = null;
  #end: ObjectEnd | null = null;
  #cancel: () => void = () => {};
  #unwatch: () => void = () => {};

  constructor(options: LinkOptions<Message>, world: LinkWorld) {
    this.#options = options;
    this.#world = world;
    this.isCareless = options.url.pathname.startsWith("/v1/ips/");
    this.#backOff = new BackOff({ firstMs: 100, longestMs: SILENCE_MS }, world.network.chance.next);
    world.process.onEnd(() => this.#connection?.closedByPeer(!world.process.machine.isOff));
  }

  get isOpen(): boolean {
    return this.#end !== null;
  }

  /** Whether both ends are there and everything gets through both ways. */
  get isWhole(): boolean {
    const end = this.#end;
    const connection = this.#connection;
    if (end === null || connection === null) return false;
    return end.object.holds(end) && !connection.isDead;
  }

  start(): void {
    if (this.#isStarted) return;
    this.#isStarted = true;
    this.#connect();
  }

  stop(): void {
    this.#isStarted = false;
    this.#cancel();
    this.#disconnect();
  }

  send(message: object): void {
    const end = this.#end;
    const connection = this.#connection;
    if (end === null || connection === null) return;
    const text = JSON.stringify(message);
    this.#world.watch(this.#options.url, "sent", text);
    const deliver = (): void => end.object.heard(end, text);
    if (this.isCareless) connection.up.carryCarelessly(deliver);
    else connection.up.carry(deliver);
  }

  ask(message: object): void {
    this.send(message);
    if (this.#end !== null && this.#connection !== null) this.lookLater(this.#connection, 0);
  }

  beatEvery(intervalMs: number): void {
    this.#heartbeatMs = intervalMs;
    this.#connection?.beatEvery(intervalMs);
  }

  /** When a word has been due for long, from then on, a connection is ended on which none can come. */
  lookLater(connection: Connection, dueInMs: number): void {
    this.#world.process.after(dueInMs + SILENCE_MS, () => {
      if (this.#connection === connection && connection.isDead) this.drop("silence");
    });
  }

  confirm(): void {
    this.#cancel();
    this.#backOff.succeed();
  }

  drop(_why: string): void {
    if (this.#connection === null) return;
    this.#disconnect();
    this.#connectLater();
  }

  /** The edge's end is there. */
  opened(connection: Connection, end: ObjectEnd): void {
    this.#whenCurrent(connection, () => {
      this.#cancel();
      this.#cancel = this.#world.process.after(PROOF_MS, () => this.drop("no proof"));
      this.#end = end;
      this.#unwatch = this.#watchWays(connection);
      this.#options.onOpen();
    });
  }

  received(connection: Connection, text: string): void {
    this.#whenCurrent(connection, () => {
      this.#world.watch(this.#options.url, "read", text);
      const message = this.#options.parse(text);
      if (!message.ok) throw new Error(`the edge sent what cannot be read: ${text}`);
      this.#options.onMessage(message.value);
    });
  }

  closed(connection: Connection, reason: string): void {
    this.#whenCurrent(connection, () => {
      this.#options.onRefused?.(reason);
      this.drop("closed");
    });
  }

  #connect(): void {
    const { network, process, dial, peer } = this.#world;
    const { url } = this.#options;
    const connection = new Connection(
      network,
      this as SimulatedLink<unknown>,
      process,
      objectNameOf(url),
      this.#heartbeatMs,
    );
    this.#connection = connection;
    this.#cancel = process.after(HANDSHAKE_MS, () => this.drop("no handshake"));
    connection.up.carry(() =>
      dial(
        connection,
        url,
        (outcome) => {
          if (outcome.ok) connection.accepted(outcome.value);
          else connection.refused(outcome.refusal);
        },
        peer,
      ),
    );
  }

  #whenCurrent(connection: Connection, what: () => void): void {
    this.#world.process.run(() => {
      if (this.#connection === connection) what();
    });
  }

  #watchWays(connection: Connection): () => void {
    const look = (): void => this.lookLater(connection, connection.untilBeatMs);
    const unwatch = [connection.up.way.watch(look), connection.down.way.watch(look)];
    return () => {
      for (const end of unwatch) end();
    };
  }

  #disconnect(): void {
    const wasOpen = this.#end !== null;
    const connection = this.#connection;
    this.#cancel();
    this.#unwatch();
    this.#unwatch = () => {};
    this.#connection = null;
    this.#end = null;
    connection?.closedByPeer(true);
    if (wasOpen) this.#options.onClose();
  }

  #connectLater(): void {
    if (!this.#isStarted) return;
    this.#cancel = this.#world.process.after(this.#backOff.fail(), () => this.#connect());
  }
}

/** The object that a URL of the edge leads to. */
export function objectNameOf(url: URL): string {
  const [, , kind, name] = url.pathname.split("/");
  return `${kind === "ips" ? "ip" : "pool"} ${decodeURIComponent(name ?? "")}`;
}

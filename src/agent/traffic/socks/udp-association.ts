/**
 * What a client has with SOCKS5's UDP ASSOCIATE (RFC 1928 section 7): a place to send its datagrams to,
 * and one leased port from which they leave, whoever they are for.
 *
 *     client ──header, payload──▶ relay place → whose? → where to? ──payload──▶ leased port ──▶ destination
 *     client ◀──header, payload── relay place ◀─ written to lately? ◀──payload── leased port ◀── source
 *
 * It ends with its TCP connection, with its lease, or when the client has sent nothing for a while.
 * Nothing else ends it: a datagram is passed on, or dropped and counted. [UD1] to [UD9]
 */
import { isIPv4 } from "node:net";
import { monotonicMs } from "../../../process/clock.ts";
import { type CancelTimer, systemTimers, type Timers } from "../../../process/timers.ts";
import { ok, type Outcome, refuse } from "../../../core/outcome.ts";
import type { Problem } from "../../../core/problems.ts";
import { unmapped } from "../../../policy/embedded-addresses.ts";
import { DatagramSocket } from "../../egress/datagram-socket.ts";
import { problemOf } from "../../egress/faults.ts";
import type { FlowContext } from "../../egress/flow-context.ts";
import type { PortMeter } from "../../egress/flow-use.ts";
import { OpenSockets } from "../../egress/open-sockets.ts";
import type { Resolver } from "../../egress/resolver.ts";
import { UdpPort, type UdpPortOptions } from "../../egress/udp-port.ts";
import { type ClientDatagram, readDatagram } from "./udp-datagram.ts";
import { type Found, UdpDestinations } from "./udp-destinations.ts";
import { UdpPeers } from "./udp-peers.ts";
import { dropReasonOf, UdpTally } from "./udp-tally.ts";

/** An address and a port. */
export interface UdpPlace {
  readonly ip: string;
  readonly port: number;
}

/** How an association is made. */
export interface UdpAssociationOptions {
  readonly context: FlowContext;
  /** The client's address on the control connection. */
  readonly clientIp: string;
  /** From where the client says that it will send; zeros when it does not say. */
  readonly announced: UdpPlace;
  /** The own address on the control connection. */
  readonly listenIp: string;
  readonly resolver: Resolver;
  readonly sockets?: OpenSockets | undefined;
  /** Counts for the whole host. */
  readonly tally?: UdpTally;
  /** Makes a note of it, as a flow. */
  readonly begins?: UdpPortOptions["begins"];
  /** How long to wait for a port while growth is outstanding. */
  readonly portWaitMs?: number;
  /** How long the client may send nothing. */
  readonly idleMs?: number;
  readonly timers?: Timers;
  /** Monotonic time in milliseconds. */
  readonly now?: () => number;
  /** Aborted when nobody waits for it to open any more. */
  readonly signal?: AbortSignal;
  /** Called once, when it has ended: with a problem, or null if it was idle or was closed. */
  readonly onEnd: (association: UdpAssociation, problem: Problem | null) => void;
}

/** RFC 4787 REQ-5 recommends five minutes, and forbids less than two. */
const IDLE_MS = 300_000;
/** On a block that is wanted back. */
const LEAST_IDLE_MS = 120_000;
const PORT_WAIT_MS = 2_000;
/** Datagrams that wait for their destination to be known. */
const MAX_WAITING = 32;

/** From `open` until `close`, or until it ends by itself. */
export class UdpAssociation {
  /** Where the client sends to: what the reply tells it. */
  readonly relayPlace: UdpPlace;
  /** From where its datagrams leave. */
  readonly egressPlace: UdpPlace;
  readonly tally: UdpTally;
  /** Whether it has ended. */
  isOver = false;
  readonly #relay: DatagramSocket;
  readonly #port: UdpPort;
  readonly #meter: PortMeter;
  readonly #clientIp: string;
  /** 0 until it is known. */
  #clientPort: number;
  readonly #destinations: UdpDestinations;
  readonly #peers: UdpPeers;
  readonly #now: () => number;
  readonly #timers: Timers;
  readonly #onEnd: UdpAssociationOptions["onEnd"];
  #idleMs: number;
  #usedAtMs: number;
  #cancelIdleWatch: CancelTimer | null = null;
  #waitingCount = 0;

  private constructor(options: UdpAssociationOptions, relay: DatagramSocket, port: UdpPort) {
    const { context, announced, listenIp } = options;
    this.#relay = relay;
    this.#port = port;
    this.#meter = context.meter;
    this.relayPlace = { ip: withoutZone(unmapped(listenIp)), port: relay.port };
    this.egressPlace = { ip: port.ip, port: port.port };
    this.tally = new UdpTally(options.tally);
    this.#clientIp = unmapped(options.clientIp);
    // Behind another address than it thinks, it is behind another port too.
    const isTold = isUnspecified(announced.ip) || unmapped(announced.ip) === withoutZone(this.#clientIp);
    this.#clientPort = isTold ? announced.port : 0;
    this.#destinations = new UdpDestinations(options.resolver, context.policy, port.ip);
    this.#idleMs = options.idleMs ?? IDLE_MS;
    this.#peers = new UdpPeers(this.#idleMs);
    this.#now = options.now ?? monotonicMs;
    this.#timers = options.timers ?? systemTimers;
    this.#onEnd = options.onEnd;
    this.#usedAtMs = this.#now();
    relay.onDatagram = (bytes, ip, from) => this.#fromClient(bytes, ip, from);
    port.onDatagram = (payload, ip, from) => this.#fromInternet(payload, ip, from);
    const drop = (fault: unknown): void => this.tally.countDrop(dropReasonOf(fault));
    relay.onFault = drop;
    port.onFault = drop;
    port.onLost = () => this.#end({ code: "lease-lost", detail: `The lease on ${port.ip} has ended.` });
    port.onDrain = () => this.#hurry();
    this.#watchIdle(this.#idleMs);
  }

  /** Opens an association for an admitted client; it has its place, or is refused by name. */
  static async open(options: UdpAssociationOptions): Promise<Outcome<UdpAssociation, Problem>> {
    const { context, listenIp, signal, begins, portWaitMs = PORT_WAIT_MS } = options;
    const sockets = options.sockets ?? new OpenSockets(Infinity);
    if (sockets.isFull) return refuse({ code: "connections-exhausted" });
    let relay: DatagramSocket;
    try {
      relay = await DatagramSocket.bind(unmapped(listenIp), 0, sockets);
    } catch (fault) {
      return refuse(problemOf(fault));
    }
    const { meter } = context;
    const opened = await UdpPort.open(context.address, { sockets, portWaitMs, signal, begins, meter });
    if (opened.ok && !opened.value.isLost && !signal?.aborted) {
      return ok(new UdpAssociation(options, relay, opened.value));
    }
    relay.close();
    if (!opened.ok) return opened;
    opened.value.close();
    if (opened.value.isLost) return refuse({ code: "lease-lost" });
    return refuse({ code: "connection-terminated", detail: "The client has gone." });
  }

  /** To be called when the TCP connection ends. */
  close(): void {
    this.#end(null);
  }

  #end(problem: Problem | null): void {
    if (this.isOver) return;
    this.isOver = true;
    this.#cancelIdleWatch?.();
    this.#relay.close();
    this.#port.close();
    this.#onEnd(this, problem);
  }

  #fromClient(bytes: Buffer, ip: string, port: number): void {
    const isClient = ip === this.#clientIp && (this.#clientPort === 0 || port === this.#clientPort);
    if (!isClient) return this.tally.countDrop("sender-foreign");
    const read = readDatagram(bytes);
    if (!read.ok) return this.tally.countDrop(read.refusal);
    // Only now: what is no datagram of SOCKS5 says nothing about where the client is. [UD3]
    this.#clientPort = port;
    const datagram = read.value;
    const found = this.#destinations.find(datagram, this.#waitingCount < MAX_WAITING);
    if (found instanceof Promise) void this.#later(found, datagram);
    else this.#toInternet(found, datagram);
  }

  async #later(finding: Promise<Found>, datagram: ClientDatagram): Promise<void> {
    if (this.#waitingCount >= MAX_WAITING) return this.tally.countDrop("resolution-backlog");
    this.#waitingCount += 1;
    const found = await finding;
    this.#waitingCount -= 1;
    // Its client may have gone meanwhile; what became of it is counted all the same. [UD9]
    if (found.ok && this.isOver) this.tally.countDrop("association-ended");
    else this.#toInternet(found, datagram);
  }

  #toInternet(found: Found, { port, payload }: ClientDatagram): void {
    if (!found.ok) return this.tally.countDrop(found.refusal);
    if (!this.#port.send(payload, found.value, port)) {
      return this.tally.countDrop(this.isOver ? "lease-lost" : "queue-full");
    }
    const nowMs = this.#now();
    this.#usedAtMs = nowMs;
    this.#peers.noteSent(found.value, nowMs);
    this.#meter.passed(payload.length);
    this.tally.countSent();
  }

  #fromInternet(payload: Buffer, ip: string, port: number): void {
    const header = this.#peers.headerFor(ip, port, this.#now());
    if (header === null) return this.tally.countDrop("source-unsolicited");
    const isSent = this.#relay.send([header, payload], this.#clientIp, this.#clientPort);
    this.#meter.passed(payload.length);
    if (isSent) this.tally.countReceived();
    else this.tally.countDrop("queue-full");
  }

  /** One timer for all datagrams: at its end it goes on for as long as the last one gives it. */
  #watchIdle(delayMs: number): void {
    const look = (): void => {
      const leftMs = this.#usedAtMs + this.#idleMs - this.#now();
      if (leftMs <= 0) this.#end(null);
      else this.#watchIdle(leftMs);
    };
    this.#cancelIdleWatch = this.#timers.after(Math.ceil(delayMs), look, "idle");
  }

  /** Its block is to be given back, which waits for it. */
  #hurry(): void {
    this.#idleMs = Math.min(this.#idleMs, LEAST_IDLE_MS);
    this.#cancelIdleWatch?.();
    this.#watchIdle(Math.max(1, this.#usedAtMs + this.#idleMs - this.#now()));
  }
}

function isUnspecified(ip: string): boolean {
  return isIPv4(ip) ? ip === "0.0.0.0" : /^[0:]+$/.test(ip);
}

/** A zone says something on this machine only. */
function withoutZone(ip: string): string {
  return ip.split("%", 1)[0]!;
}

/**
 * The connections of clients, from the moment in which they are accepted. Until somebody has shown a valid
 * token on one it is a stranger's, and strangers may have only so many: in all, and from one address. What
 * is one too many ends the connection that has been a stranger's for longest. A client with a token is one
 * for a few milliseconds, so it finds room however many say nothing. [CN1] [CN2]
 *
 *     accepted → a stranger's ──valid token──▶ known ──request without one──▶ a stranger's again
 */
import { isIPv4, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { TLSSocket } from "node:tls";
import ipaddr from "ipaddr.js";
import type { Identity } from "../../../core/identity.ts";
import { monotonicMs } from "../../../process/clock.ts";
import { resetSocket } from "../../../process/socket-reset.ts";
import { OpenSockets } from "../../egress/open-sockets.ts";
import type { Refusals } from "./refusals.ts";

/** Of the connections that a process may have, strangers may have so many. */
const STRANGERS_SHARE = 1 / 8;
/** As many as come at once when an edge finds its host again; but where there are few of them, half. */
const LEAST_STRANGERS = 1_024;
const LEAST_SHARE = 1 / 2;
const LEAST_EVER = 64;
/** More would only cost memory. */
const MOST_STRANGERS = 8_192;
/** Of those, the clients of one address: behind it may be an edge, or a machine that bears ill will. */
const ADDRESS_SHARE = 1 / 2;
/** How often it is told that strangers are turned away. */
const TELL_EVERY_MS = 60_000;
/** What one site has of IPv6 addresses, in groups of 16 bits. */
const SITE_GROUPS = 4;

/** How many strangers there may be. */
export interface StrangerLimits {
  readonly inAll: number;
  /** For IPv6 of one /64. */
  readonly ofAddress: number;
}

/** For a process that may have so many connections. */
export function strangerLimits(maxConnections: number): StrangerLimits {
  const share = Math.max(maxConnections * STRANGERS_SHARE, LEAST_STRANGERS);
  const most = Math.min(share, maxConnections * LEAST_SHARE, MOST_STRANGERS);
  const inAll = Math.max(LEAST_EVER, Math.floor(most));
  return { inAll, ofAddress: Math.floor(inAll * ADDRESS_SHARE) };
}

/** What is known of a client before it has said anything. */
export interface Arrival {
  /** Of the listener to which it came. */
  readonly refusals: Refusals;
  /** Who it is by where it comes from. */
  readonly clientAt?: Identity | null;
  /** Whether it is asked for something beside that, which may be missing. */
  readonly isAskedForMore?: boolean;
}

/** One connection of a client. */
export class Visitor {
  /** Who it is by where it comes from; null for a token is needed. */
  readonly clientAt: Identity | null;
  readonly socket: Socket;
  readonly refusals: Refusals;
  /** Whether TLS has begun on it. */
  isWithinTls = false;
  /** Whether something goes on beside the request that is looked at; whoever speaks its protocol knows. */
  carriesMore: () => boolean = carriesNothing;
  readonly #visitors: Visitors;
  #place: string | null = null;
  #isKnown: boolean;

  constructor(
    visitors: Visitors,
    socket: Socket,
    { refusals, clientAt = null, isAskedForMore = false }: Arrival,
  ) {
    this.#visitors = visitors;
    this.socket = socket;
    this.refusals = refusals;
    this.clientAt = clientAt;
    this.#isKnown = clientAt !== null && !isAskedForMore;
  }

  get isKnown(): boolean {
    return this.#isKnown;
  }

  /** From where it comes, as strangers are counted: to be asked first while it is open. */
  get place(): string {
    this.#place ??= placeOf(this.socket.remoteAddress);
    return this.#place;
  }

  /** Something has come that showed a valid token, or came from a listed source; or did not. [CN4] */
  showed(isValid: boolean): void {
    if (isValid === this.#isKnown) return;
    if (!isValid && (this.clientAt !== null || this.carriesMore())) return;
    this.#isKnown = isValid;
    if (isValid) this.#visitors.forget(this);
    else this.#visitors.note(this);
  }

  /** Ends it at once. The end of TLS may be on its way to the kernel, where nobody sees it and a reset is refused. */
  turnAway(): void {
    if (this.isWithinTls) this.socket.destroy();
    else resetSocket(this.socket);
  }
}

/** One for all listeners of a process. */
export class Visitors {
  /** Told how many strangers were turned away since it was told last, at most once a minute. */
  onCrowd: ((resetCount: number) => void) | null = null;
  readonly #sockets: OpenSockets;
  readonly #limits: StrangerLimits;
  readonly #visitors = new WeakMap<Duplex, Visitor>();
  /** Those who have been strangers for longest first, here and for each address. */
  readonly #strangers = new Set<Visitor>();
  readonly #byPlace = new Map<string, Set<Visitor>>();
  #resetCount = 0;
  #toldCount = 0;
  #toldAtMs = -Infinity;

  constructor(sockets = new OpenSockets(Infinity), limits = strangerLimits(sockets.max)) {
    this.#sockets = sockets;
    this.#limits = limits;
  }

  /** Takes in a connection that was accepted; null if it has been reset, for want of descriptors. [GW25] */
  welcome(socket: Socket, arrival: Arrival): Visitor | null {
    if (this.#sockets.isOverfull) {
      arrival.refusals.count({ code: "connections-exhausted" }, null);
      resetSocket(socket);
      return null;
    }
    this.#sockets.note(socket);
    const visitor = new Visitor(this, socket, arrival);
    this.#visitors.set(socket, visitor);
    if (visitor.isKnown) return visitor;
    socket.once("close", () => this.forget(visitor));
    this.note(visitor);
    return visitor;
  }

  /** The visitor whose connection this is, or TLS over it. Only of those that were welcome. */
  of(socket: Duplex): Visitor {
    return this.#visitors.get(socket)!;
  }

  /** TLS stands over a visitor's connection. */
  secured(socket: Socket, secured: TLSSocket): Visitor {
    const visitor = this.of(socket);
    this.#visitors.set(secured, visitor);
    return visitor;
  }

  /** It is a stranger's; whoever is one too many goes. */
  note(visitor: Visitor): void {
    if (visitor.socket.destroyed) return;
    const { place } = visitor;
    const neighbours = this.#byPlace.get(place) ?? new Set();
    this.#byPlace.set(place, neighbours);
    this.#strangers.add(visitor);
    neighbours.add(visitor);
    if (neighbours.size > this.#limits.ofAddress) this.#turnAway(neighbours);
    if (this.#strangers.size > this.#limits.inAll) this.#turnAway(this.#strangers);
  }

  /** It is a stranger's no longer, or none at all. */
  forget(visitor: Visitor): void {
    if (!this.#strangers.delete(visitor)) return;
    const neighbours = this.#byPlace.get(visitor.place)!;
    neighbours.delete(visitor);
    if (neighbours.size === 0) this.#byPlace.delete(visitor.place);
  }

  /** For the status. */
  describe(): Record<string, number> {
    const { inAll, ofAddress } = this.#limits;
    return { open: this.#strangers.size, most: inAll, mostOfAddress: ofAddress, reset: this.#resetCount };
  }

  #turnAway([oldest]: Iterable<Visitor>): void {
    this.forget(oldest!);
    oldest!.refusals.count({ code: "strangers-exhausted" }, null);
    this.#resetCount += 1;
    oldest!.turnAway();
    const nowMs = monotonicMs();
    if (nowMs - this.#toldAtMs < TELL_EVERY_MS) return;
    this.onCrowd?.(this.#resetCount - this.#toldCount);
    this.#toldAtMs = nowMs;
    this.#toldCount = this.#resetCount;
  }
}

function carriesNothing(): boolean {
  return false;
}

function placeOf(ip: string | undefined): string {
  // As nearly all do, and to read it would cost more than everything else here.
  if (ip !== undefined && isIPv4(ip)) return ip;
  // One that is gone already has none.
  if (ip === undefined || !ipaddr.isValid(ip)) return "";
  const address = ipaddr.process(ip);
  return address instanceof ipaddr.IPv6 ? address.parts.slice(0, SITE_GROUPS).join(":") : address.toString();
}

/**
 * The conversation between hosts and an address. A host speaks on one connection at a time: the one
 * on which it joined last. No answer leaves before what it tells of is on disk, and one that tells
 * of a block waits until the routers know that block. [HO2] [DO9] [ST4]
 */
import {
  awaitsRouters,
  type LeaseAnswer,
  type LeaseCommand,
  type LeaseRefusal,
} from "../../src/core/lease-commands.ts";
import type { LeaseReply, LeaseRequest, MessageRefusal } from "../../src/core/messages.ts";
import type { Outcome } from "../../src/core/outcome.ts";
import { roomFor, settingsFor } from "../../src/core/share.ts";
import { Shortage } from "../../src/core/shortage.ts";
import { parseLeaseRequest } from "../../src/wire/message-parsers.ts";
import { fence, readRequest, refuseRequest } from "../platform/conversation.ts";
import { within } from "../platform/deadline.ts";
import {
  type Acceptance,
  CLOSE_REFUSED,
  isOpen,
  type ObjectPlatform,
  type ObjectSocket,
  sendTo,
} from "../platform/object-platform.ts";
import { type Opener, openerTags } from "../platform/token-sockets.ts";
import type { AddressTable } from "./address-table.ts";
import type { StoredAddress } from "./lease-store.ts";

/** Stays with a socket. A host that has not joined on it has no session. */
interface LeaseAttachment {
  readonly host: string;
  readonly session: number | null;
  /** To which the address belonged then: the host may not be permitted another. [RE7] */
  readonly pool: string;
}

/** What a host said, until it is answered. */
interface Heard {
  readonly socket: ObjectSocket;
  readonly message: string | ArrayBuffer;
  readonly request: Outcome<LeaseRequest, MessageRefusal>;
}

/** A request that can be carried out. */
interface Asked {
  readonly heard: Heard;
  readonly request: LeaseRequest;
  readonly host: string;
  readonly pool: string;
  readonly session: number | null;
}

/** Hosts of an address renew at moments that they have in common: so long others are waited for. [DO21] */
const GATHERING_MS = 250;

/** Sessions count from 1, so this one is always stale. */
const NO_SESSION = 0;
/** Repeated to a host whose message named no request. */
const UNNAMED_REQUEST = "";

/** One per egress IP. */
export class LeaseSessions {
  readonly #platform: ObjectPlatform;
  readonly #table: AddressTable;
  /** What was heard and is answered in the next turn, in the order in which it came. */
  readonly #waiting: Heard[] = [];
  #turn: Promise<void> | null = null;
  /** What waits is to be answered now, and whoever waits for more is told. */
  #isDue = false;
  #due = Promise.withResolvers<void>();
  /** What is answered once the routers have applied it; its blocks are on disk. [ST4] */
  #held: Heard[] = [];
  readonly #shortage = new Shortage();

  constructor(platform: ObjectPlatform, table: AddressTable) {
    this.#platform = platform;
    this.#table = table;
  }

  /** Connects a host to an address of this pool. */
  connect(host: string, pool: string, opener: Opener): Acceptance {
    const attachment: LeaseAttachment = { host, session: null, pool };
    return { tags: [host, ...openerTags(opener)], attachment };
  }

  /** Hears a host; done when it is answered, or held back. */
  async heard(socket: ObjectSocket, message: string | ArrayBuffer): Promise<void> {
    const request = readRequest(message, parseLeaseRequest);
    this.#waiting.push({ socket, message, request });
    if (!isRenewal(request) || this.#isGathered()) {
      this.#isDue = true;
      this.#due.resolve();
    }
    await (this.#turn ??= this.#takeTurn());
  }

  /** Whether every host that could renew waits for it, as far as can be told by their number. */
  #isGathered(): boolean {
    return this.#waiting.length >= (this.#table.address()?.table.holders.size ?? 0);
  }

  /** Done when all is heard that was said before. */
  async allHeard(): Promise<void> {
    await this.#turn;
  }

  /** A request that is asked again gets the block it got, and the leases as they are now. [ME2] */
  answerHeld(): void {
    for (const heard of this.#held.splice(0)) if (isOpen(heard.socket)) this.#answer([heard]);
  }

  /** Fails closed, with a named refusal: the host keeps what it has and goes on renewing it. [ST6] */
  refuseHeld(): void {
    for (const { socket, message } of this.#held.splice(0)) {
      refuseHost(socket, requestIdIn(message), "steering-pending");
    }
  }

  /**
   * Settings, and what is left, are told in answers, and the next renewal may be far away: hosts are
   * told to renew. [DO18] [AL9]
   */
  tellChanged({ table, pool }: StoredAddress, hosts: Iterable<string> = table.holders.keys()): void {
    for (const host of hosts) {
      for (const socket of this.#platform.sockets(host)) {
        const attached = socket.deserializeAttachment() as LeaseAttachment;
        if (attached.session === null || attached.pool !== pool) continue;
        sendTo(socket, { type: "changed" } satisfies LeaseReply);
      }
    }
  }

  /**
   * Answers everything that waits. What an object does in one turn is one commit, and the commit
   * is what a command costs: those that come at the same moment share it. Renewals that follow one
   * another are one transaction, and one row; anything else is a transaction of its own. Every
   * answer waits for the disk. Nothing is lost with the queue: a host that has no answer asks
   * again. [DO17] [DO21]
   */
  async #takeTurn(): Promise<void> {
    if (!this.#isDue) await within(this.#platform, GATHERING_MS, this.#due.promise);
    await this.#platform.wait(0);
    this.#turn = null;
    this.#isDue = false;
    this.#due = Promise.withResolvers();
    for (const together of inTransactions(this.#waiting.splice(0))) this.#answer(together);
    await this.#table.alarmSet;
  }

  /** Answers what is one transaction. */
  #answer(together: readonly Heard[]): void {
    const address = this.#table.address();
    const asked: Asked[] = [];
    for (const heard of together) {
      const { socket, message, request } = heard;
      const { host, session, pool } = socket.deserializeAttachment() as LeaseAttachment;
      if (address === null || address.pool !== pool) socket.close(CLOSE_REFUSED, "ip-unknown");
      else if (!request.ok) refuseHost(socket, requestIdIn(message), request.refusal);
      else asked.push({ heard, request: request.value, host, pool, session });
    }
    if (address === null || asked.length === 0) return;
    const commands = asked.map(({ request, host, session }) => commandOf(request, host, session));
    const outcomes = this.#table.executeAll(address, commands);
    for (const [at, outcome] of outcomes.entries()) this.#tell(address, asked[at]!, outcome);
  }

  #tell(
    address: StoredAddress,
    { heard, request: { requestId, type }, host, pool }: Asked,
    outcome: Outcome<LeaseAnswer, LeaseRefusal>,
  ): void {
    const { socket } = heard;
    const nowMs = this.#platform.nowMs();
    const isRefused = !outcome.ok && outcome.refusal === "address-exhausted";
    if (this.#shortage.isNews(address.table, isRefused, nowMs)) this.tellChanged(address);
    if (!outcome.ok) return refuseHost(socket, requestId, outcome.refusal, isEnd(type, outcome.refusal));
    if (awaitsRouters(address.table, outcome.value)) return this.#hold(heard);
    if (type === "join") this.#handOver({ host, pool, session: outcome.value.session! }, socket);
    const { leases, leaseDurationMs, granted } = outcome.value;
    // Hosts that do not know the pool's own settings apart want these two in every answer.
    const { hostSilenceMs, steeringDeadlineMs } = address.table.settings;
    const leaseSettings = settingsFor(address.table, host, nowMs);
    const settings = { ...leaseSettings, hostSilenceMs, steeringDeadlineMs };
    sendTo(socket, {
      type: "answer",
      requestId,
      leases,
      leaseDurationMs,
      granted,
      settings,
      room: roomFor(address.table, host, nowMs),
    } satisfies LeaseReply);
  }

  /** Asked again, a request is held once. */
  #hold(heard: Heard): void {
    this.#held = this.#held.filter((held) => held.socket !== heard.socket || held.message !== heard.message);
    this.#held.push(heard);
  }

  /** From now on the host speaks through this socket alone. [HO2] [DO9] */
  #handOver(attachment: LeaseAttachment & { session: number }, socket: ObjectSocket): void {
    const { host, session } = attachment;
    socket.serializeAttachment(attachment);
    for (const other of this.#platform.sockets(host)) {
      const joined = (other.deserializeAttachment() as LeaseAttachment).session;
      if (joined !== null && joined < session && isOpen(other)) fence(other);
    }
  }
}

function isRenewal(request: Heard["request"]): boolean {
  return request.ok && request.value.type === "renew";
}

/** Renewals that follow one another, and everything else by itself; the order stays. */
function inTransactions(heard: readonly Heard[]): Heard[][] {
  const transactions: Heard[][] = [];
  let renewals: Heard[] | null = null;
  for (const one of heard) {
    const isOne = isRenewal(one.request);
    if (isOne && renewals !== null) {
      renewals.push(one);
      continue;
    }
    const transaction = [one];
    transactions.push(transaction);
    renewals = isOne ? transaction : null;
  }
  return transactions;
}

function commandOf(request: LeaseRequest, host: string, session: number | null): LeaseCommand {
  if (request.type === "join") {
    return { type: "join", host, instance: request.instance, holdings: request.holdings };
  }
  return { ...request, host, session: session ?? NO_SESSION };
}

/** Whoever is asked for what it holds tells it on the same connection. [OC3] */
function isEnd(type: LeaseRequest["type"], refusal: LeaseRefusal): boolean {
  return type === "join" && refusal !== "holdings-wanted";
}

function refuseHost(
  socket: ObjectSocket,
  requestId: string,
  code: (LeaseReply & { type: "refused" })["code"],
  isOpening?: boolean,
): void {
  refuseRequest(socket, { type: "refused", requestId, code } satisfies LeaseReply, isOpening);
}

/** The id of a request that could not be read as a whole, so that its host can tell which. */
function requestIdIn(message: string | ArrayBuffer): string {
  try {
    const { requestId } = JSON.parse(message as string) as { requestId?: unknown };
    return typeof requestId === "string" && requestId.length > 0 && requestId.length <= 64
      ? requestId
      : UNNAMED_REQUEST;
  } catch {
    return UNNAMED_REQUEST;
  }
}

/**
 * The conversation between hosts and an address. A host speaks on one connection at a time: the one
 * on which it joined last. No answer leaves before what it tells of is on disk, and one that tells
 * of a block waits until the routers know that block. [HO2] [DO9] [ST4]
 */
import { awaitsRouters, type LeaseCommand } from "../../src/core/lease-commands.ts";
import type { LeaseReply, LeaseRequest } from "../../src/core/messages.ts";
import { settingsFor } from "../../src/core/share.ts";
import { parseLeaseRequest } from "../../src/wire/message-parsers.ts";
import { fence, readRequest, refuseRequest } from "../platform/conversation.ts";
import {
  type Acceptance,
  CLOSE_REFUSED,
  isOpen,
  type ObjectPlatform,
  type ObjectSocket,
  sendTo,
} from "../platform/object-platform.ts";
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
}

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
  /** What is answered once the routers have applied it; its blocks are on disk. [ST4] */
  #held: Heard[] = [];

  constructor(platform: ObjectPlatform, table: AddressTable) {
    this.#platform = platform;
    this.#table = table;
  }

  /** Connects a host to an address of this pool. */
  connect(host: string, pool: string): Acceptance {
    const attachment: LeaseAttachment = { host, session: null, pool };
    return { tags: [host], attachment };
  }

  /** Hears a host; done when it is answered, or held back. */
  async heard(socket: ObjectSocket, message: string | ArrayBuffer): Promise<void> {
    this.#waiting.push({ socket, message });
    await (this.#turn ??= this.#takeTurn());
  }

  /** Done when all is heard that was said before. */
  async allHeard(): Promise<void> {
    await this.#turn;
  }

  /** A request that is asked again gets the block it got, and the leases as they are now. [ME2] */
  answerHeld(): void {
    for (const { socket, message } of this.#held.splice(0)) {
      if (isOpen(socket)) this.#answer(socket, message);
    }
  }

  /** Fails closed, with a named refusal: the host keeps what it has and goes on renewing it. [ST6] */
  refuseHeld(): void {
    for (const { socket, message } of this.#held.splice(0)) {
      refuseHost(socket, requestIdIn(message), "steering-pending");
    }
  }

  /** Settings are told in answers, and the next renewal may be far away: hosts are told to renew. [DO18] */
  tellChanged({ table, pool }: StoredAddress): void {
    for (const host of table.holders.keys()) {
      for (const socket of this.#platform.sockets(host)) {
        const attached = socket.deserializeAttachment() as LeaseAttachment;
        if (attached.session === null || attached.pool !== pool) continue;
        sendTo(socket, { type: "changed" } satisfies LeaseReply);
      }
    }
  }

  /**
   * Answers everything that waits. What an object does in one turn is one commit, and the commit
   * is what a command costs: those that come at the same moment share it. Each is a transaction
   * of its own all the same, and every answer waits for the disk. Nothing is lost with the queue:
   * a host that has no answer asks again. [DO17]
   */
  async #takeTurn(): Promise<void> {
    await this.#platform.wait(0);
    this.#turn = null;
    for (const { socket, message } of this.#waiting.splice(0)) this.#answer(socket, message);
    await this.#table.alarmSet;
  }

  #answer(socket: ObjectSocket, message: string | ArrayBuffer): void {
    const address = this.#table.address();
    const { host, session, pool } = socket.deserializeAttachment() as LeaseAttachment;
    if (address === null || address.pool !== pool) return socket.close(CLOSE_REFUSED, "ip-unknown");
    const request = readRequest(message, parseLeaseRequest);
    if (!request.ok) return refuseHost(socket, requestIdIn(message), request.refusal);
    const { requestId, type } = request.value;
    const outcome = this.#table.execute(address, commandOf(request.value, host, session));
    if (!outcome.ok) return refuseHost(socket, requestId, outcome.refusal, type === "join");
    if (awaitsRouters(address.table, outcome.value)) return this.#hold({ socket, message });
    if (type === "join") this.#handOver({ host, pool, session: outcome.value.session! }, socket);
    const { leases, leaseDurationMs, granted } = outcome.value;
    // Hosts that do not know the pool's own settings apart want these two in every answer.
    const { hostSilenceMs, steeringDeadlineMs } = address.table.settings;
    const leaseSettings = settingsFor(address.table, host, this.#platform.nowMs());
    const settings = { ...leaseSettings, hostSilenceMs, steeringDeadlineMs };
    sendTo(socket, {
      type: "answer",
      requestId,
      leases,
      leaseDurationMs,
      granted,
      settings,
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

function commandOf(request: LeaseRequest, host: string, session: number | null): LeaseCommand {
  if (request.type === "join") return { type: "join", host, instance: request.instance };
  return { ...request, host, session: session ?? NO_SESSION };
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

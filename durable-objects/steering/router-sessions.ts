/**
 * The conversation between routers and a pool: the whole table when a router enrolls, and from then
 * on how far it is. Progress is kept with each router's socket. [ST13] [ST14]
 */
import { acknowledge, beginning } from "../../src/core/acknowledgement.ts";
import type { RouterReply, RouterRequest } from "../../src/core/messages.ts";
import { parseRouterRequest } from "../../src/wire/message-parsers.ts";
import { fence, readRequest, refuseRequest } from "../platform/conversation.ts";
import { isOpen, type ObjectPlatform, type ObjectSocket, sendTo } from "../platform/object-platform.ts";
import type { Signal } from "./signal.ts";
import type { RouterRegister } from "./router-register.ts";
import { attachmentOf, type RouterAttachment, type RouterSockets } from "./router-sockets.ts";
import type { SteeringStore } from "./steering-store.ts";

/** What the conversation needs of its pool. */
export interface RouterSessionsOptions {
  readonly platform: ObjectPlatform;
  readonly store: SteeringStore;
  readonly sockets: RouterSockets;
  readonly register: RouterRegister;
  /** Told when a router has come, gone or acknowledged. */
  readonly news: Signal;
  /** Tells all addresses that there are routers, if that is news; done when each has published, or soon. */
  readonly beginSteering: () => Promise<void>;
}

/** Items in one message: with the longest names it stays well below what its reader takes. */
export const ITEMS_PER_MESSAGE = 1_000;
/** What is known of a live router is written down again after this time. */
const NOTE_AFTER_MS = 60_000;

/** One per pool object. */
export class RouterSessions {
  readonly #options: RouterSessionsOptions;

  constructor(options: RouterSessionsOptions) {
    this.#options = options;
  }

  /** Hears a router. */
  async heard(socket: ObjectSocket, message: string | ArrayBuffer): Promise<void> {
    const request = readRequest(message, parseRouterRequest);
    if (!request.ok) return refuseRouter(socket, request.refusal);
    if (request.value.type === "enroll") return this.#enroll(socket, request.value);
    if (request.value.type === "observe") return this.#observe(socket);
    const attached = attachmentOf(socket);
    if (attached.instance === null) return refuseRouter(socket, "message-malformed");
    if (request.value.type === "resync") this.#sendTable(socket, attached.instance);
    else this.#acknowledged(socket, attached, request.value.sequence);
  }

  /** Notes that a router's connection has ended. */
  closed(socket: ObjectSocket): void {
    const { sockets, register, news } = this.#options;
    const { router, instance, acknowledged } = attachmentOf(socket);
    // A connection that a newer one has replaced does not count for its router.
    if (instance !== null) {
      const seenAtMs = sockets.seenAtMs(socket);
      register.note(router, { instance, acknowledged, seenAtMs, isConnected: false });
    }
    news.tell();
  }

  /** Sends the whole table to every router that has one. [OC4] */
  tellAgain(): void {
    for (const socket of this.#options.sockets.enrolled()) {
      const { instance } = attachmentOf(socket);
      if (instance !== null && isOpen(socket)) this.#sendTable(socket, instance);
    }
  }

  async #enroll(socket: ObjectSocket, { instance }: RouterRequest & { type: "enroll" }): Promise<void> {
    const { sockets, register, beginSteering } = this.#options;
    await beginSteering();
    const { router, instance: enrolled } = attachmentOf(socket);
    // Said again while the table was on its way. [ST14]
    if (!isOpen(socket) || enrolled === instance) return;
    const isDuplicate = (other: ObjectSocket): boolean => attachmentOf(other).instance !== instance;
    const others = sockets.enrolled().filter((other) => attachmentOf(other).router === router);
    const isLive = sockets
      .connected()
      .some((status) => status.router === router && status.isEnrolled && status.isLive);
    if (isLive && others.some(isDuplicate)) return refuseRouter(socket, "router-already-present", true);
    for (const other of others) {
      if (other === socket) continue;
      sockets.replace(other);
      fence(other);
    }
    register.forgetOld();
    this.#sendTable(socket, instance);
  }

  /** No grant waits for it any longer. [ST13] */
  #observe(socket: ObjectSocket): void {
    const { sockets, news } = this.#options;
    sockets.hear(socket, { isObserver: true });
    this.#sendPieces(socket);
    news.tell();
  }

  /** From here on the router is told every change. */
  #sendTable(socket: ObjectSocket, instance: string): void {
    const { platform, store, sockets, register, news } = this.#options;
    const { router } = attachmentOf(socket);
    sockets.hear(socket, { instance, ...beginning(store.sequence()) });
    register.note(router, { instance, seenAtMs: platform.nowMs(), isConnected: true });
    this.#sendPieces(socket);
    news.tell();
  }

  #sendPieces(socket: ObjectSocket): void {
    const { store } = this.#options;
    const parts = store.pieceCount(ITEMS_PER_MESSAGE);
    let part = 0;
    for (const table of store.pieces(ITEMS_PER_MESSAGE)) {
      part += 1;
      sendTo(socket, { type: "table", part, parts, table } satisfies RouterReply);
    }
  }

  #acknowledged(socket: ObjectSocket, attached: RouterAttachment, sequence: number): void {
    const { platform, store, sockets, register, news } = this.#options;
    const progress = acknowledge(attached, sequence, store.sequence());
    if (!progress.ok) return refuseRouter(socket, progress.refusal);
    const { router } = attached;
    const { acknowledged } = progress.value;
    sockets.hear(socket, progress.value);
    const nowMs = platform.nowMs();
    // Each acknowledgement of each router would be a write; the socket remembers it anyway.
    if (acknowledged !== null && nowMs - register.notedAtMs(router) >= NOTE_AFTER_MS) {
      register.note(router, { acknowledged, seenAtMs: nowMs });
    }
    news.tell();
  }
}

function refuseRouter(
  socket: ObjectSocket,
  code: (RouterReply & { type: "refused" })["code"],
  isOpening?: boolean,
): void {
  refuseRequest(socket, { type: "refused", code } satisfies RouterReply, isOpening);
}

/**
 * The flows of a tenant that run now. Each is known with its end, so that it can be ended when its token
 * is revoked, its tenant is served no more, or nothing has passed on it for too long. [LI8] [LI9]
 */
import type { Identity } from "../../core/identity.ts";
import type { Problem } from "../../core/problems.ts";
import { EgressFault } from "../egress/faults.ts";
import type { FlowWatch, RunningFlow } from "../egress/flow-use.ts";

/** What a flow is, as limits have it. */
export type FlowKind =
  /** One request and its answer. */
  | "request"
  /** CONNECT, SOCKS, raw TCP, a WebSocket: bytes in both directions for as long as it lasts. */
  | "tunnel"
  /** SOCKS5's UDP ASSOCIATE: as long as a tunnel, and counted as one. */
  | "association";

/** What a flow lasts as long as: an answer, a socket, a stream. */
export interface Lasting {
  readonly destroyed: boolean;
  /** Bytes that its client has not taken yet. */
  readonly writableLength: number;
  on(event: "close", listener: () => void): unknown;
}

/** A flow as it asks to be admitted. */
export interface BeginningFlow {
  readonly kind: FlowKind;
  readonly until: Lasting;
  /** Fails when it is ended early. */
  readonly flow: { fail(fault: unknown): void };
}

/** One admitted flow, from its admission until what it lasts as long as has closed. */
export class TrackedFlow implements RunningFlow {
  readonly identity: Identity;
  readonly kind: FlowKind;
  readonly beganAtMs: number;
  /** When something last passed, to the nearest look. */
  movedAtMs: number;
  watch: FlowWatch | null = null;
  readonly #clock: { readonly lookedAtMs: number };
  readonly #flow: BeginningFlow["flow"];
  readonly #until: Lasting;
  #destination: { readonly writableLength: number } | null = null;
  #isCut = false;

  constructor(
    identity: Identity,
    { kind, flow, until }: BeginningFlow,
    clock: { readonly lookedAtMs: number },
  ) {
    this.identity = identity;
    this.kind = kind;
    this.#clock = clock;
    this.#flow = flow;
    this.#until = until;
    this.beganAtMs = clock.lookedAtMs;
    this.movedAtMs = clock.lookedAtMs;
  }

  moved(): void {
    this.movedAtMs = this.#clock.lookedAtMs;
  }

  writesTo(destination: { readonly writableLength: number }): void {
    this.#destination = destination;
  }

  /** Bytes that wait for either end to take them. */
  get untakenBytes(): number {
    return this.#until.writableLength + (this.#destination?.writableLength ?? 0);
  }

  /** Whether its client is what it waits for: an answer may be quiet for hours, and nobody is late. [WK44] */
  get isUntaken(): boolean {
    return this.#until.writableLength > 0;
  }

  /** Ends it, once; whether it was this time. */
  cut(problem: Problem): boolean {
    if (this.#isCut) return false;
    this.#isCut = true;
    this.#flow.fail(EgressFault.of(problem));
    return true;
  }
}

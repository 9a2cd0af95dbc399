/** What the metrics say of this host's leases on one address: counted here, since nobody decides by it. [MT5] */
import type { Lease } from "../../core/lease-commands.ts";
import type { LeaseReply, LeaseRequest } from "../../core/messages.ts";
import type { KeeperEvent } from "./keeper-options.ts";
import type { ServedPorts } from "./served-addresses.ts";

type Request = LeaseRequest["type"];
type Loss = Extract<KeeperEvent["type"], "lost" | "lapsed" | "disowned">;

/** As they stand now. */
export interface LeaseCounts {
  readonly requests: ReadonlyMap<Request, number>;
  readonly answers: ReadonlyMap<Request, number>;
  readonly refusals: ReadonlyMap<Request, ReadonlyMap<string, number>>;
  readonly losses: ReadonlyMap<Loss, number>;
  /** Of the address, that nobody leases; null until the edge has told. */
  readonly roomPortCount: number | null;
  /** Null where leases have no end, or there are none. */
  readonly lease: { readonly ageMs: number; readonly durationMs: number } | null;
}

/** An address as the metrics have it. */
export interface AddressMeasures {
  readonly ports: ServedPorts;
  /** Ports that this host could have of it; infinite while it does not know. */
  readonly limit: number;
  /** Leased beside the ports, which do not know of it. */
  readonly spare: Lease | null;
  readonly counts: LeaseCounts;
}

/** One per address that is served. */
export class LeaseMeasures {
  readonly #nowMs: () => number;
  readonly #requests = new Map<Request, number>();
  readonly #answers = new Map<Request, number>();
  readonly #refusals = new Map<Request, Map<string, number>>();
  readonly #losses = new Map<Loss, number>();
  /** The latest, and when it was sent first. */
  #asked: { readonly request: LeaseRequest; readonly atMs: number } | null = null;
  #roomPortCount: number | null = null;
  #renewed: { readonly atMs: number; readonly durationMs: number } | null = null;

  /** `nowMs` reads a monotonic clock. */
  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  /** A request is sent, or sent once more. */
  sent(request: LeaseRequest): void {
    increase(this.#requests, request.type);
    if (this.#asked?.request.requestId === request.requestId) return;
    this.#asked = { request, atMs: this.#nowMs() };
  }

  /** The edge has said something. */
  received(reply: LeaseReply): void {
    const asked = this.#asked;
    if (reply.type === "changed" || asked === null || reply.requestId !== asked.request.requestId) return;
    const { type } = asked.request;
    if (reply.type === "refused") {
      const codes = this.#refusals.get(type) ?? new Map<string, number>();
      this.#refusals.set(type, codes);
      return increase(codes, reply.code);
    }
    increase(this.#answers, type);
    this.#roomPortCount = reply.room?.portCount ?? null;
    const durationMs = reply.leaseDurationMs;
    const hasEnd = durationMs !== null && reply.settings.staticPortsPerHost === null;
    if (hasEnd) this.#renewed = { atMs: asked.atMs, durationMs };
  }

  /** Something has become of the leases. */
  happened(event: KeeperEvent): void {
    const { type } = event;
    if (type === "lost" || type === "lapsed" || type === "disowned") increase(this.#losses, type);
    if (type === "lapsed" || type === "disowned" || type === "drained") this.#renewed = null;
  }

  /** All of it. */
  counts(): LeaseCounts {
    const renewed = this.#renewed;
    return {
      requests: this.#requests,
      answers: this.#answers,
      refusals: this.#refusals,
      losses: this.#losses,
      roomPortCount: this.#roomPortCount,
      lease:
        renewed === null ? null : { ageMs: this.#nowMs() - renewed.atMs, durationMs: renewed.durationMs },
    };
  }
}

function increase<Key>(counts: Map<Key, number>, key: Key): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}

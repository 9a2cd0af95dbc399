/**
 * Laws 7 and 8, as a flow sees them: as long as an address has said that a block is its host's, the
 * flows on it live, and new ones find a port. What else happens, to the edge, to routers and to other
 * hosts, is no excuse.
 *
 * Excused is only what the host itself does or suffers: it ends or gives the block back, its wall
 * clock is set, its kernel does not listen, its operator takes the address away or sets its clock
 * forward.
 */
import type { LeaseRequest } from "../../src/core/messages.ts";
import { blockContains, type PortBlock } from "../../src/core/port-block.ts";
import type { TranslatedBreak } from "./containers.ts";
import type { Host, OpenFlow } from "./host.ts";
import { ActedUpon, ADOPTION_MS } from "./acted-upon.ts";
import { Violation } from "./law-checks.ts";
import { TranslatedFlows } from "./translated-flows.ts";
import type { TrackedFlow } from "./translation-table.ts";

/** How a flow was broken off. */
export type Break = "reset" | "held back";

/** What a host was last told of one address. */
interface Standing {
  /** By epoch. */
  blocks: ReadonlyMap<number, PortBlock>;
  /** Until when in true time, by the most careful host. */
  endsAtMs: number;
  readonly actedUpon: ActedUpon;
  /** Since when all of them can have been put to use, by the time that its agent ran. */
  sinceRunningMs: number;
}

/** One agent, from its start to its end. */
interface Life {
  /** By address, the request that is not answered yet, and when it was sent for the first time. */
  readonly asked: Map<string, { readonly requestId: string; readonly sentAtMs: number }>;
  readonly standings: Map<string, Standing>;
  /** Addresses that its pool has named last. */
  ips: ReadonlySet<string>;
  /** When each was last seen not to be named; Infinity while it is not. */
  readonly unnamedAtMs: Map<string, number>;
  /** When each was last seen to leave the pool; Infinity while it does. */
  readonly retiringAtMs: Map<string, number>;
  /** When it was first told of each block, by address and epoch. */
  readonly firstToldAtMs: Map<string, number>;
}

/** A host counts on 2 % less, and its clocks may be faster. */
const COUNTED_ON = 0.97;
/** The kernel reads the wall clock in whole seconds. */
const TICK_MS = 1_010;
/** What a trouble has begun is over by then. */
const TROUBLE_LASTS_MS = 25_000;

/** One per run. */
export class FlowChecks {
  readonly #nowMs: () => number;
  readonly #lives = new Map<Host, Life>();
  /** When the clock of each address was set forward last: it may end leases early by as much. [LE6] */
  readonly #leaptAtMs = new Map<string, number>();
  /** When a host was told last that an address leaves its pool. */
  readonly #retiredAtMs = new Map<string, number>();
  /** How many comparisons were made that could have failed. */
  readonly counts = { flowsOpened: 0 };
  /** Flows that their agent's end does not end. */
  readonly translated: TranslatedFlows;
  readonly #onReleased: (host: Host, ip: string, block: PortBlock) => void;

  /** `onReleased` is told of a block that a host asks to give back. */
  constructor(nowMs: () => number, onReleased: (host: Host, ip: string, block: PortBlock) => void) {
    this.#nowMs = nowMs;
    this.#onReleased = onReleased;
    this.translated = new TranslatedFlows(nowMs);
  }

  /** The agent of a machine has started, or has ended. */
  began(host: Host): void {
    this.#lives.set(host, {
      asked: new Map(),
      standings: new Map(),
      ips: new Set(),
      unnamedAtMs: new Map(),
      retiringAtMs: new Map(),
      firstToldAtMs: new Map(),
    });
  }

  /** The clock of an address was set forward. */
  leapt(ip: string): void {
    this.#leaptAtMs.set(ip, this.#nowMs());
  }

  /** A host has sent a request, perhaps again. */
  asked(host: Host, ip: string, request: LeaseRequest): void {
    const life = this.#lives.get(host);
    if (life === undefined) return;
    const { requestId } = request;
    if (life.asked.get(ip)?.requestId !== requestId)
      life.asked.set(ip, { requestId, sentAtMs: this.#nowMs() });
    const standing = life.standings.get(ip);
    if (request.type !== "release" || standing === undefined) return;
    const released = standing.blocks.get(request.epoch);
    if (released !== undefined) this.#onReleased(host, ip, released);
    this.translated.released(host, ip, request.epoch);
    // It has given the block up by itself.
    standing.blocks = new Map([...standing.blocks].filter(([epoch]) => epoch !== request.epoch));
  }

  /** A host has read a refusal: what is answered yet to that request is none of its business. [LK5] */
  refused(host: Host, ip: string, requestId: string): void {
    const asked = this.#lives.get(host)?.asked;
    if (asked?.get(ip)?.requestId === requestId) asked.delete(ip);
  }

  /** A host has read an answer: its blocks, and for how long from the first sending on. */
  told(
    host: Host,
    ip: string,
    requestId: string,
    leaseDurationMs: number | null,
    blocks: readonly (PortBlock & { readonly epoch: number })[],
  ): void {
    const life = this.#lives.get(host);
    const asked = life?.asked.get(ip);
    // Any other answer is none of its host's business. [LK5]
    if (life === undefined || asked?.requestId !== requestId) return;
    life.asked.delete(ip);
    const { sentAtMs } = asked;
    // What was given back whole says nothing of what is taken up later: the address was left.
    const known = life.standings.get(ip);
    const before = known !== undefined && known.blocks.size > 0 ? known : undefined;
    const endsAtMs = leaseDurationMs === null ? 0 : sentAtMs + leaseDurationMs * COUNTED_ON - TICK_MS;
    // Others are new, and perhaps kept back as a spare or on their way to the kernel.
    for (const { epoch } of blocks) {
      const key = `${ip} ${epoch}`;
      if (!life.firstToldAtMs.has(key)) life.firstToldAtMs.set(key, this.#nowMs());
    }
    const isInUse =
      before !== undefined &&
      this.#nowMs() < before.endsAtMs &&
      blocks.some(({ epoch }) => before.blocks.has(epoch));
    const byEpoch = new Map(blocks.map((block) => [block.epoch, block]));
    this.translated.told(host, ip, endsAtMs, byEpoch);
    const actedUpon = before?.actedUpon ?? new ActedUpon();
    actedUpon.told(endsAtMs, host.runningMs);
    life.standings.set(ip, {
      blocks: byEpoch,
      endsAtMs: Math.max(before?.endsAtMs ?? 0, endsAtMs),
      actedUpon,
      sinceRunningMs: isInUse ? before.sinceRunningMs : host.runningMs,
    });
  }

  /** A host has read which addresses it is to serve, and which of the others leave the pool. */
  named(host: Host, ips: readonly string[], retiring: readonly string[]): void {
    const life = this.#lives.get(host);
    if (life === undefined) return;
    for (const [ip, atMs] of life.retiringAtMs) {
      if (atMs === Infinity) life.retiringAtMs.set(ip, this.#nowMs());
    }
    for (const ip of retiring) {
      life.retiringAtMs.set(ip, Infinity);
      this.#retiredAtMs.set(ip, this.#nowMs());
    }
    // By its own disk it may serve what was never named to this agent. [SM9]
    for (const ip of [...life.ips, ...life.standings.keys()]) {
      if (!ips.includes(ip)) life.unnamedAtMs.set(ip, Infinity);
    }
    for (const ip of ips) if (life.unnamedAtMs.get(ip) === Infinity) life.unnamedAtMs.set(ip, this.#nowMs());
    life.ips = new Set(ips);
  }

  /** Law 7: a flow that was open cannot go on. */
  broken(host: Host, { ip, port, openedAtMs }: OpenFlow, how: Break): void {
    const standing = this.#standingOf(host, ip);
    if (standing === null) return;
    const nowMs = this.#nowMs();
    // An address that goes to other hosts is no excuse, one that leaves the pool is. [AS4]
    if ((this.#lives.get(host)!.retiringAtMs.get(ip) ?? -Infinity) > nowMs - TROUBLE_LASTS_MS) return;
    // A host that slept finds its term over before it reads on, and its kernel is told a moment later.
    if (nowMs >= standing.actedUpon.surelyEndsAtMs(host.runningMs)) return;
    const block = [...standing.blocks].find(([, each]) => blockContains(each, port));
    if (block === undefined) return;
    // It was opened on an earlier block of the same ports, which ended.
    if (openedAtMs < (this.#lives.get(host)?.firstToldAtMs.get(`${ip} ${block[0]}`) ?? 0)) return;
    const leftMs = Math.round(standing.endsAtMs - nowMs);
    const what = `a flow of ${host.machine.name} from ${ip}:${port} was ${how}`;
    throw new Violation("law 7", `${what}, and epoch ${block[0]} is its host's for ${leftMs} ms`);
  }

  /** Law 7: a flow of a container cannot go on. */
  translatedBroken(host: Host, flow: TrackedFlow, how: TranslatedBreak): void {
    const recentMs = this.#nowMs() - TROUBLE_LASTS_MS;
    const isExcused =
      host.isDraining ||
      host.machine.troubledAtMs > recentMs ||
      (this.#leaptAtMs.get(flow.ip) ?? -Infinity) > recentMs ||
      (this.#retiredAtMs.get(flow.ip) ?? -Infinity) > recentMs;
    this.translated.broken(host, flow, how, isExcused);
  }

  /** Law 8: a flow was opened, or could not be for want of a lease. */
  opened(host: Host, ip: string, isWithoutLease: boolean): void {
    this.counts.flowsOpened += 1;
    if (!isWithoutLease) return;
    const standing = this.#standingOf(host, ip);
    if (standing === null || standing.blocks.size === 0 || !this.#isNamed(host, ip)) return;
    if (host.runningMs - standing.sinceRunningMs < ADOPTION_MS) return;
    const leftMs = Math.round(standing.endsAtMs - this.#nowMs());
    const what = `${host.machine.name} opens no flow from ${ip}`;
    throw new Violation("law 8", `${what}, and ${standing.blocks.size} blocks are its own for ${leftMs} ms`);
  }

  /** Whether a host is to serve an address, and has been for a while. */
  #isNamed(host: Host, ip: string): boolean {
    const life = this.#lives.get(host)!;
    return life.ips.has(ip) && (life.unnamedAtMs.get(ip) ?? -Infinity) <= this.#nowMs() - TROUBLE_LASTS_MS;
  }

  /** What a host can count on; null while it has an excuse. */
  #standingOf(host: Host, ip: string): Standing | null {
    const life = this.#lives.get(host);
    const standing = life?.standings.get(ip);
    if (life === undefined || standing === undefined || host.isDraining) return null;
    const nowMs = this.#nowMs();
    if (nowMs >= standing.endsAtMs) return null;
    const recentMs = nowMs - TROUBLE_LASTS_MS;
    if ((this.#leaptAtMs.get(ip) ?? -Infinity) > recentMs) return null;
    return host.machine.troubledAtMs > recentMs ? null : standing;
  }
}

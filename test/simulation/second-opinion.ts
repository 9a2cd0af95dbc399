/**
 * Judges a run by the laws alone, from what somebody outside could have seen, and knows nothing of
 * how ipshard works. Whatever could have been right is let pass: a machine is judged by all that it
 * could have believed, and the edge by all that its clock could have shown. Three facts make that
 * sharp all the same:
 *
 * - What was read before a request was sent had been said before the request was answered.
 * - Whoever was told of a block held it at some moment after asking. So nobody else is given any of
 *   it before the quarantine since then is over.
 * - A host goes silent on a block before it asks to give it back. So whoever sends, holds; and until
 *   its machine asks for anything, a lease can only lapse.
 *
 * Law 1 makes no allowance for a clock that is set: it holds "under clock error". A run may hence
 * set the clock of an address forward by no more than the quarantine bears.
 */
import assert from "node:assert/strict";
import type { History, SeenBlock, Sighting } from "./history.ts";
import { type Moment, Tenant, type Term, termOf } from "./second-opinion-belief.ts";

/** A law that was broken, when, by which sighting (its place in the history), and how. */
export interface Verdict {
  readonly law: 1 | 2 | 3 | 4 | 5 | 6 | "calm";
  readonly atMs: number;
  readonly index: number;
  readonly sentence: string;
}

/** The clock of an address runs at most this much faster or slower than true time. */
const ADDRESS_CLOCK_DRIFT = 0.01;
/** No block is smaller than 64 ports, so the ports of such a unit have one holder. */
const UNIT_ORDER = 6;
const LARGEST_ORDER = 12;
const FIRST_LEASABLE_PORT = 1024;

/** One block as it was granted to one machine. */
interface Grant {
  readonly machine: string;
  readonly block: SeenBlock;
  readonly toldIndex: number;
  /** The latest moment of which its machine surely held it then or later. */
  held: Moment | null;
  /** The latest term that an answer which lists it gave. */
  term: Term | null;
  /** The last packet that its machine sent from it before it had an heir, and the term which allowed that. */
  sent: { readonly moment: Moment; readonly term: Term } | null;
  /** A later grant of some of its ports. */
  heir: Grant | null;
}

interface Address {
  readonly ip: string;
  forwardMs: number;
  readonly promises: { readonly atMs: number; readonly quarantineMs: number }[];
  readonly tenants: Map<string, Tenant>;
  readonly grants: Map<number, Grant>;
  /** The grant of each unit that has the highest epoch. */
  readonly units: Map<number, Grant>;
  /** Each time that a higher epoch was read than ever before. */
  readonly peaks: { readonly index: number; readonly epoch: number }[];
}

/** What was promised when all faults ended, and who has sent since. */
interface Calm {
  readonly byMs: number;
  readonly machines: readonly string[];
  readonly leastHosts: number;
  /** By address. */
  readonly senders: ReadonlyMap<string, Set<string>>;
}

type Seen<Type extends Sighting["type"]> = Extract<Sighting, { type: Type }>;

/**
 * The laws that a run has broken, in the order in which that came to light; none if it is empty. A
 * kernel may take `tellingMs` to be told that a block is lost; the quarantine bears that.
 */
export function judge(history: History, tellingMs = 0): readonly Verdict[] {
  const court = new Court(tellingMs);
  for (const sighting of history) court.hear(sighting);
  return court.verdicts;
}

class Court {
  readonly verdicts: Verdict[] = [];
  readonly #addresses = new Map<string, Address>();
  #calms: readonly Calm[] = [];
  #index = -1;
  #nowMs = 0;
  readonly #tellingMs: number;

  constructor(tellingMs: number) {
    this.#tellingMs = tellingMs;
  }

  hear(sighting: Sighting): void {
    assert(sighting.atMs >= this.#nowMs, `time fell from ${this.#nowMs} to ${sighting.atMs} ms`);
    this.#index += 1;
    this.#judgeCalm(sighting);
    this.#nowMs = sighting.atMs;
    switch (sighting.type) {
      case "promised":
        this.#address(sighting.ip).promises.push(sighting);
        break;
      case "clock-set":
        this.#address(sighting.ip).forwardMs += Math.max(0, sighting.byMs);
        break;
      case "asked":
        this.#hearAsked(sighting);
        break;
      case "told":
        this.#hearTold(sighting);
        break;
      case "sent":
        this.#judgeSent(sighting);
        break;
      case "steered":
        this.#judgeSteered(sighting);
        break;
      case "calm":
        this.#hearCalm(sighting);
        break;
      case "started":
        for (const { tenants } of this.#addresses.values())
          tenants.get(sighting.machine)?.restart(sighting.atMs);
        break;
      case "ended":
      case "over":
        break;
    }
  }

  #address(ip: string): Address {
    let address = this.#addresses.get(ip);
    if (!address) {
      address = {
        ip,
        forwardMs: 0,
        promises: [],
        tenants: new Map(),
        grants: new Map(),
        units: new Map(),
        peaks: [],
      };
      this.#addresses.set(ip, address);
    }
    return address;
  }

  #now(address: Address): Moment {
    return { index: this.#index, atMs: this.#nowMs, forwardMs: address.forwardMs };
  }

  #break(law: Verdict["law"], sentence: string): void {
    this.verdicts.push({ law, atMs: this.#nowMs, index: this.#index, sentence });
  }

  #hearAsked({ machine, ip, requestId }: Seen<"asked">): void {
    const address = this.#address(ip);
    tenantOf(address, machine, this.#tellingMs).ask(requestId, this.#now(address));
  }

  #hearTold(told: Seen<"told">): void {
    const { machine, blocks, granted, leaseDurationMs } = told;
    const address = this.#address(told.ip);
    const tenant = tenantOf(address, machine, this.#tellingMs);
    const asked = tenant.request(told.requestId);
    if (granted) this.#judgeGranted(address, machine, granted, asked);
    for (const block of blocks) {
      const grant = this.#judgeListed(address, machine, block, asked);
      if (grant && asked) prove(grant, asked, leaseDurationMs);
    }
    const isListed = blocks.some(({ epoch }) => epoch === granted?.epoch);
    if (granted && !isListed) this.#judgeListed(address, machine, granted, asked);
    tenant.read(told, this.#now(address));
  }

  /** Law 5, of a new grant: above every epoch that anybody had read of when it was asked for. */
  #judgeGranted(address: Address, machine: string, granted: SeenBlock, asked: Moment | undefined): void {
    if (address.grants.has(granted.epoch)) return;
    const peak = asked && address.peaks.findLast(({ index }) => index < asked.index);
    if (!peak || granted.epoch > peak.epoch) return;
    this.#break(
      5,
      `${machine} was granted ${named(address.ip, granted)}, and asked when epoch ${peak.epoch} had been told of`,
    );
  }

  /** Laws 5 and 6, of one block that a machine was told it holds; null if it is another's grant. */
  #judgeListed(address: Address, machine: string, block: SeenBlock, asked: Moment | undefined): Grant | null {
    const grant = address.grants.get(block.epoch) ?? this.#enter(address, machine, block);
    const where = named(address.ip, block);
    if (grant.machine !== machine || !isSameBlock(grant.block, block)) {
      this.#break(
        5,
        `${machine} was told of ${where}, but that is the epoch of ${grant.machine}'s ${named(address.ip, grant.block)}`,
      );
      return null;
    }
    const { heir } = grant;
    if (heir && asked && heir.toldIndex < asked.index) {
      this.#break(
        5,
        `${machine} was told of ${where}, and asked when ${heir.machine} had been told of ${named(address.ip, heir.block)}`,
      );
    }
    return grant;
  }

  /** Takes up a grant of which nobody has heard yet; law 6 of those whose ports it has. */
  #enter(address: Address, machine: string, block: SeenBlock): Grant {
    assertBlock(block);
    const grant: Grant = {
      machine,
      block,
      toldIndex: this.#index,
      held: null,
      term: null,
      sent: null,
      heir: null,
    };
    address.grants.set(block.epoch, grant);
    if (block.epoch > (address.peaks.at(-1)?.epoch ?? -Infinity)) {
      address.peaks.push({ index: this.#index, epoch: block.epoch });
    }
    const former = new Set<Grant>();
    const unitCount = 2 ** (block.order - UNIT_ORDER);
    for (let unit = unitOf(block.base), left = unitCount; left > 0; unit += 1, left -= 1) {
      const highest = address.units.get(unit);
      if (highest && highest.block.epoch > block.epoch) {
        grant.heir ??= highest;
        continue;
      }
      if (highest) former.add(highest);
      address.units.set(unit, grant);
    }
    for (const last of former) {
      last.heir ??= grant;
      if (last.machine !== machine) this.#judgeHandover(address, last, grant);
    }
    return grant;
  }

  #judgeHandover(address: Address, last: Grant, next: Grant): void {
    const freeMs = this.#freeMs(address, last);
    if (this.#nowMs >= freeMs) return;
    const sent = last.sent ? `, and sent from it at ${last.sent.moment.atMs} ms` : "";
    this.#break(
      6,
      `${next.machine} was told of ${named(address.ip, next.block)}, but ${last.machine} held ` +
        `${named(address.ip, last.block)}${sent}: it may be another's from ${Math.ceil(freeMs)} ms on`,
    );
  }

  /** The earliest true time at which ports of a grant can be another machine's, by all that was seen. */
  #freeMs(address: Address, grant: Grant): number {
    const { held, term, sent } = grant;
    const since = (start: Moment, promisedMs: number) =>
      start.atMs + this.#shortestMs(address, start, promisedMs + quarantineMs(address, start.atMs));
    const byListing = held ? since(held, 0) : -Infinity;
    const byKeeping = term && isKept(address, grant) ? since(term.asked, term.durationMs) : -Infinity;
    // It was given back after the last packet, or it lapsed, which a slow host outlives a little.
    const bySending = sent
      ? Math.min(since(sent.moment, 0), since(sent.term.asked, sent.term.durationMs))
      : -Infinity;
    return Math.max(byListing, byKeeping, bySending);
  }

  /** The least true time in which the address's clock can have counted that much since then. */
  #shortestMs(address: Address, start: Moment, countedMs: number): number {
    return Math.max(0, countedMs - (address.forwardMs - start.forwardMs)) / (1 + ADDRESS_CLOCK_DRIFT);
  }

  /** Laws 1, 2 and 3. */
  #judgeSent({ machine, ip, port }: Seen<"sent">): void {
    for (const calm of this.#calms) calm.senders.get(ip)?.add(machine);
    const address = this.#address(ip);
    const tenant = tenantOf(address, machine, this.#tellingMs);
    const belief = tenant.believes(port, this.#nowMs);
    const what = `${machine} sent from ${ip}:${port}`;
    if (!belief) {
      const lost = tenant.lostBlock(port);
      const why = lost
        ? `lost it at ${lost.read.atMs} ms (epoch ${lost.block.epoch})`
        : "never been told of it";
      this.#break(2, `${what}, and had ${why}`);
      return;
    }
    const { term, isLate } = belief;
    if (isLate) {
      this.#break(3, `${what}, for which its time ${term ? `was over at ${term.endsMs} ms` : "never began"}`);
    }
    const grant = address.grants.get(belief.block.epoch)!;
    const highest = address.units.get(unitOf(port));
    const heir = highest && highest !== grant ? highest : grant.heir;
    if (heir && heir.machine !== machine) {
      const isSharing = heir === highest && heir.sent !== null;
      const wasTold = `${heir.machine} had ${isSharing ? "sent from" : "been told of"} ${named(ip, heir.block)}`;
      if (isSharing || !isLate) {
        this.#break(isSharing ? 1 : 3, `${what} under epoch ${grant.block.epoch}, when ${wasTold}`);
      }
      return;
    }
    if (term && grant.machine === machine) grant.sent = { moment: this.#now(address), term };
  }

  /** Law 4, and what steering owes to the others. */
  #judgeSteered({ machine, ip, port, router, isAttentive }: Seen<"steered">): void {
    const address = this.#address(ip);
    const what = `${router} ${machine === null ? "dropped" : `handed ${machine}`} a packet for ${ip}:${port}`;
    if (machine !== null && !address.tenants.get(machine)?.lastRequest) {
      this.#break(4, `${what}, which has never asked for any of that address`);
      return;
    }
    const grant = address.units.get(unitOf(port));
    if (!isAttentive || !grant?.sent || grant.machine === machine) return;
    if (this.#isSurelyHeld(address, grant)) {
      this.#break(4, `${what}, though ${grant.machine} holds ${named(ip, grant.block)} and has sent from it`);
    } else if (machine !== null && this.#nowMs < this.#freeMs(address, grant)) {
      this.#break(4, `${what}, though ${grant.machine} was the last to hold ${named(ip, grant.block)}`);
    }
  }

  /** Whether its machine cannot have given it back, nor the address's clock have ended it. */
  #isSurelyHeld(address: Address, grant: Grant): boolean {
    const { term } = grant;
    if (!term || !isKept(address, grant)) return false;
    return this.#nowMs < term.asked.atMs + this.#shortestMs(address, term.asked, term.durationMs);
  }

  #hearCalm({ machines, leastHosts, boundMs }: Seen<"calm">): void {
    const promised = [...this.#addresses].filter(([, { promises }]) => promises.length > 0);
    const senders = new Map(promised.map(([ip]) => [ip, new Set<string>()]));
    this.#calms = [...this.#calms, { byMs: this.#nowMs + boundMs, machines, leastHosts, senders }];
  }

  /** A run that is over, or was seen for less than the bound, proves nothing. */
  #judgeCalm({ atMs, type }: Sighting): void {
    if (this.#calms.length === 0) return;
    const isOver = ({ byMs }: Calm) => atMs > byMs || (atMs === byMs && type === "over");
    for (const calm of this.#calms.filter(isOver)) {
      this.#judgeSenders(calm);
    }
    this.#calms = this.#calms.filter((calm) => !isOver(calm));
  }

  #judgeSenders({ byMs, machines, leastHosts, senders }: Calm): void {
    const all = [...senders.values()];
    const silent = machines.find((machine) => all.length > 0 && !all.some((some) => some.has(machine)));
    if (silent !== undefined) {
      this.#break("calm", `${silent} has sent nothing by ${byMs} ms, in spite of calm`);
      return;
    }
    for (const [ip, some] of senders) {
      const count = machines.filter((machine) => some.has(machine)).length;
      if (count >= Math.min(leastHosts, machines.length)) continue;
      this.#break(
        "calm",
        `${count} of ${machines.length} have sent from ${ip} by ${byMs} ms, in spite of calm`,
      );
    }
  }
}

function tenantOf({ tenants }: Address, machine: string, tellingMs: number): Tenant {
  let tenant = tenants.get(machine);
  if (!tenant) {
    tenant = new Tenant(tellingMs);
    tenants.set(machine, tenant);
  }
  return tenant;
}

/**
 * Whether a machine cannot have given a grant back: the answer to the last that it asked lists it, or
 * it has sent from it since.
 */
function isKept({ tenants }: Address, { machine, block, sent }: Grant): boolean {
  const tenant = tenants.get(machine)!;
  const { lastRequest } = tenant;
  if (!lastRequest || tenant.hasLost(block.epoch)) return false;
  if (sent && sent.moment.index > lastRequest.index) return true;
  return lastRequest.answer?.some(({ epoch }) => epoch === block.epoch) === true;
}

/** Notes that a grant was still held when its machine's request was answered. */
function prove(grant: Grant, asked: Moment, leaseDurationMs: number | null): void {
  if (!grant.held || asked.index > grant.held.index) grant.held = asked;
  if (leaseDurationMs === null) return;
  if (!grant.term || asked.index > grant.term.asked.index) grant.term = termOf(asked, leaseDurationMs);
}

/** The shortest quarantine that was promised at any time from then to now. */
function quarantineMs({ promises }: Address, fromMs: number): number {
  let shortestMs = Infinity;
  for (let at = promises.length - 1; at >= 0; at -= 1) {
    const promise = promises[at]!;
    shortestMs = Math.min(shortestMs, promise.quarantineMs);
    if (promise.atMs < fromMs) break;
  }
  return Number.isFinite(shortestMs) ? shortestMs : 0;
}

function unitOf(port: number): number {
  return port >> UNIT_ORDER;
}

function isSameBlock(one: SeenBlock, other: SeenBlock): boolean {
  return one.base === other.base && one.order === other.order;
}

function named(ip: string, { base, order, epoch }: SeenBlock): string {
  return `${ip}:${base}-${base + 2 ** order - 1} (epoch ${epoch})`;
}

function assertBlock({ base, order, epoch }: SeenBlock): void {
  const isBlock =
    Number.isInteger(order) &&
    order >= UNIT_ORDER &&
    order <= LARGEST_ORDER &&
    base % 2 ** order === 0 &&
    base >= FIRST_LEASABLE_PORT &&
    base + 2 ** order <= 65_536 &&
    Number.isSafeInteger(epoch);
  assert(isBlock, `no block begins at ${base} with order ${order}, epoch ${epoch}`);
}

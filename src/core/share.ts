/**
 * How the ports of an address are divided when they do not suffice for everybody's wishes: each
 * present host can have its minimum, whoever came first, and beyond it a fair share. [AL7]
 *
 * Two rules keep that. A grant leaves free what the others still need for theirs [AL5]; and when
 * that was not possible, because a host came to an address that was already full, those who hold
 * more are told to hold less [AL6]. Nothing is taken from anybody: a host gives back by itself,
 * as its connections end.
 */
import { type Holder, type LeaseTable, portsLeased } from "./lease-table.ts";
import { LEASABLE_PORT_COUNT, UNIT_PORT_COUNT } from "./port-block.ts";
import { isWanting, levelOf } from "./fair-share.ts";
import { type LeaseSettings, leaseSettingsOf } from "./pool-settings.ts";
import { isStatic, settingsOfSlot } from "./static-slots.ts";
import type { Usage } from "./table-index.ts";

/** A host that wants more counts with so many times what it holds. */
const WANTED_GROWTH = 4;

/** With this part of a fair share a host has nearly the same as the others. */
const NEARLY = 7 / 8;

/** What any host may hold, while some want more than there is. */
export interface FairShare {
  readonly portCount: number;
  /** Whether all that want more have nearly as much: then nobody need give back. */
  readonly isReached: boolean;
}

/** More is asked for than is needed, since some may be unable to help. */
const ASKED_TIMES = 2;

/** Ports that every present host can have, in whole units and within the maximum. [AL5] */
export function minimumOf({ minPortsPerHost, maxPortsPerHost }: LeaseSettings): number {
  return Math.min(
    Math.ceil(minPortsPerHost / UNIT_PORT_COUNT) * UNIT_PORT_COUNT,
    Math.floor(maxPortsPerHost / UNIT_PORT_COUNT) * UNIT_PORT_COUNT,
  );
}

/** What each host of a table holds, by its name. */
export function usageByHost({ index }: LeaseTable): ReadonlyMap<string, Usage> {
  return index.parts;
}

/**
 * Free ports that a host may be granted. Up to its own claim, the part of its minimum that it
 * neither holds nor can take up again, it takes what is free; beyond it, it leaves the claims of
 * the others. When there are more hosts than minimums the first come are served, instead of
 * each being refused for the sake of the rest. [AL5]
 */
export function spendableBy(
  table: LeaseTable,
  usages: ReadonlyMap<string, Usage>,
  { host }: Holder,
  freePortCount: number,
  nowMs: number,
): number {
  const minimum = minimumOf(table.settings);
  const claimOf = (name: string): number => {
    const { held, resting } = usages.get(name)!;
    return Math.max(0, minimum - held - resting);
  };
  let claimedByOthers = 0;
  for (const other of table.holders.values()) {
    if (other.host !== host && nowMs < other.expiresAtMs) claimedByOthers += claimOf(other.host);
  }
  return Math.max(freePortCount - claimedByOthers, claimOf(host));
}

/**
 * Ports of its own in quarantine that a host may take up again: up to its minimum any, beyond it
 * what the minimums of the others leave. Otherwise a host would at once have back what it gave
 * up for another, whose wait would never end. [QU3]
 */
export function resumableBy(
  table: LeaseTable,
  usages: ReadonlyMap<string, Usage>,
  { host }: Holder,
  nowMs: number,
): number {
  const minimum = minimumOf(table.settings);
  const { held } = usages.get(host)!;
  let left = LEASABLE_PORT_COUNT - held;
  for (const other of table.holders.values()) {
    if (other.host !== host) left -= spokenFor(other, usages, minimum, nowMs);
  }
  return Math.max(left, minimum - held);
}

/**
 * The lease settings as a host is told of them: `maxPortsPerHost` is what it may hold now. [AL6] [AL7]
 *
 * That is the pool's maximum, or a fair share if that is less, unless what the present hosts hold and
 * lack of their minimums is more than an address has. Then whoever is above its minimum is asked for
 * twice its part of the excess, by what it holds above that, but for no more than the excess or half of
 * what it holds. Were each asked for all of it, a full address would lose most of its ports for one
 * newcomer; were each asked for its part alone, one that cannot help would be waited for. What rests in quarantine is not
 * held any more, so what one has given back the next is not asked for again.
 */
export function settingsFor(table: LeaseTable, host: string, nowMs: number): LeaseSettings {
  const { holders } = table;
  const settings = leaseSettingsOf(table.settings);
  if (isStatic(settings)) return settingsOfSlot(settings);
  const minimum = minimumOf(settings);
  // Every renewal comes here; nearly always there is room for everybody's minimum on top.
  const isRoomy = portsLeased(table) + holders.size * minimum <= LEASABLE_PORT_COUNT;
  if (isRoomy && table.wants.size === 0) return settings;
  const usages = usageByHost(table);
  const { held } = usages.get(host)!;
  const fair = fairShareOf(table, usages, nowMs);
  const maxPortsPerHost = Math.min(
    settings.maxPortsPerHost,
    shareBesideMinimums(table, usages, host, nowMs),
    // Once all have nearly the same, blocks would go to and fro for ever.
    fair === null ? Infinity : fair.isReached ? Math.max(held, fair.portCount) : fair.portCount,
  );
  return { ...settings, maxPortsPerHost };
}

/** What a host may hold beside the minimums of the others; no bound while these fit. [AL6] */
function shareBesideMinimums(
  { holders, settings }: LeaseTable,
  usages: ReadonlyMap<string, Usage>,
  host: string,
  nowMs: number,
): number {
  const minimum = minimumOf(settings);
  let excess = -LEASABLE_PORT_COUNT;
  let above = 0;
  for (const holder of holders.values()) {
    excess += spokenFor(holder, usages, minimum, nowMs);
    above += Math.max(0, usages.get(holder.host)!.held - minimum);
  }
  if (excess <= 0) return Infinity;
  const { held } = usages.get(host)!;
  const half = Math.floor(held / 2 / UNIT_PORT_COUNT) * UNIT_PORT_COUNT;
  const part = above === 0 ? excess : Math.ceil((ASKED_TIMES * excess * (held - minimum)) / above);
  return Math.max(minimum, half, held - Math.min(excess, part));
}

/**
 * The most ports that any host may hold while some want more than there are, though they have their
 * minimum: whole units, and at least a minimum. Null while nobody does. What rests in quarantine
 * counts as there. [AL7]
 *
 * Without it those that came first would keep everything beyond the minimums, however much others
 * need. How much a host wants nobody knows, so it counts with a multiple of what it holds: in a few
 * steps it comes to a fair share, and one that wants little costs the others little.
 */
export function fairShareOf(
  table: LeaseTable,
  usages: ReadonlyMap<string, Usage>,
  nowMs: number,
): FairShare | null {
  // Every grant comes here.
  if (table.wants.size === 0) return null;
  const minimum = minimumOf(table.settings);
  const needs: number[] = [];
  let leastShare = Infinity;
  for (const holder of table.holders.values()) {
    const { held } = usages.get(holder.host)!;
    const isPresent = nowMs < holder.expiresAtMs;
    const wants = isPresent && held >= minimum && isWanting(table, holder.host, nowMs);
    needs.push(
      wants ? Math.max(held, UNIT_PORT_COUNT) * WANTED_GROWTH : spokenFor(holder, usages, minimum, nowMs),
    );
    if (wants) leastShare = Math.min(leastShare, held);
  }
  if (leastShare === Infinity) return null;
  const units = Math.floor(levelOf(LEASABLE_PORT_COUNT, needs) / UNIT_PORT_COUNT);
  const portCount = Math.max(minimum, units * UNIT_PORT_COUNT);
  return { portCount, isReached: leastShare >= portCount * NEARLY };
}

/**
 * What an address has left for a host beyond what it holds. It is told with each answer, so that
 * hosts keep less ahead, and look for another address, as this one fills. [AL8]
 */
export interface Room {
  /** Ports that nobody leases, those in quarantine included, without those to which other hosts have a claim. */
  readonly portCount: number;
  /** Hosts that may want them: those that are present. */
  readonly hostCount: number;
}

/** What is left for this host. */
export function roomFor(table: LeaseTable, host: string, nowMs: number): Room {
  const usages = usageByHost(table);
  const minimum = minimumOf(table.settings);
  let portCount = LEASABLE_PORT_COUNT - portsLeased(table);
  let hostCount = 0;
  for (const holder of table.holders.values()) {
    if (nowMs >= holder.expiresAtMs) continue;
    hostCount += 1;
    const { held, resting } = usages.get(holder.host)!;
    if (holder.host !== host) portCount -= Math.max(0, minimum - held - resting);
  }
  return { portCount: Math.max(0, portCount), hostCount };
}

/** What a host holds, or its minimum if that is more and the host is present. */
function spokenFor(
  { host, expiresAtMs }: Holder,
  usages: ReadonlyMap<string, Usage>,
  minimum: number,
  nowMs: number,
): number {
  const { held } = usages.get(host)!;
  return nowMs < expiresAtMs ? Math.max(held, minimum) : held;
}

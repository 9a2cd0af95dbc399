/**
 * How the ports of an address are divided when they do not suffice for everybody's wishes: each
 * present host can have its minimum, whoever came first.
 *
 * Two rules keep that. A grant leaves free what the others still need for theirs [AL5]; and when
 * that was not possible, because a host came to an address that was already full, those who hold
 * more are told to hold less [AL6]. Nothing is taken from anybody: a host gives back by itself,
 * as its connections end.
 */
import { type Holder, type LeaseRow, type LeaseTable, portsLeased } from "./lease-table.ts";
import { LEASABLE_PORT_COUNT, portCountOf, UNIT_PORT_COUNT } from "./port-block.ts";
import { type LeaseSettings, leaseSettingsOf } from "./pool-settings.ts";

/** Ports a host holds, and those of its own in quarantine that it may take up again. */
export interface Usage {
  held: number;
  resting: number;
}

/** Ports that every present host can have, in whole units and within the maximum. [AL5] */
export function minimumOf({ minPortsPerHost, maxPortsPerHost }: LeaseSettings): number {
  return Math.min(
    Math.ceil(minPortsPerHost / UNIT_PORT_COUNT) * UNIT_PORT_COUNT,
    Math.floor(maxPortsPerHost / UNIT_PORT_COUNT) * UNIT_PORT_COUNT,
  );
}

/** What each host of a table holds, by its name. */
export function usageByHost(table: LeaseTable): Map<string, Usage> {
  const usages = new Map<string, Usage>();
  for (const holder of table.holders.values()) usages.set(holder.host, { held: 0, resting: 0 });
  for (const row of table.rows.values()) {
    const usage = usages.get(row.host)!;
    if (row.state === "leased") usage.held += portCountOf(row.order);
    else if (isOwnQuarantined(row, table.holders.get(row.host)!)) usage.resting += portCountOf(row.order);
  }
  return usages;
}

/** Whether a block is in quarantine and this very instance held it last. [QU3] */
export function isOwnQuarantined(row: LeaseRow, holder: Holder): boolean {
  return row.state === "quarantined" && row.host === holder.host && row.instance === holder.instance;
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
 * The lease settings as a host is told of them: `maxPortsPerHost` is what it may hold now. [AL6]
 *
 * That is the pool's maximum, unless what the present hosts hold and lack of their minimums is
 * more than an address has. Then whoever is above its minimum is asked for the excess, but for
 * no more than half of what it holds, so that no single one bears it all. Each is asked until
 * the excess is gone, since any of them may be unable to help: what rests in quarantine is not
 * held any more, so what one has given back the next is not asked for again.
 */
export function settingsFor(table: LeaseTable, host: string, nowMs: number): LeaseSettings {
  const { holders } = table;
  const settings = leaseSettingsOf(table.settings);
  const minimum = minimumOf(settings);
  // Every renewal comes here; nearly always there is room for everybody's minimum on top.
  if (portsLeased(table) + holders.size * minimum <= LEASABLE_PORT_COUNT) return settings;
  const usages = usageByHost(table);
  let excess = -LEASABLE_PORT_COUNT;
  for (const holder of holders.values()) excess += spokenFor(holder, usages, minimum, nowMs);
  if (excess <= 0) return settings;
  const { held } = usages.get(host)!;
  const half = Math.floor(held / 2 / UNIT_PORT_COUNT) * UNIT_PORT_COUNT;
  const share = Math.max(minimum, half, held - excess);
  return { ...settings, maxPortsPerHost: Math.min(settings.maxPortsPerHost, share) };
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

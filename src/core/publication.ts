/**
 * What an address tells its pool for the routers: all of its leased blocks, not what changed.
 * The pool compares, so a publication that was lost, repeated or cut off by a restart is made
 * good by the next one. [ST5]
 */
import type { LeaseRow, LeaseTable } from "./lease-table.ts";
import { type Outcome, ok, refuse } from "./outcome.ts";
import { blocksOverlap, type PortBlock } from "./port-block.ts";
import type { NextHop, SteeringChange, SteeringEntry } from "./steering.ts";

/** A leased block, as the routers of its address must know it. */
export interface PublishedBlock extends PortBlock {
  readonly host: string;
  /** Which of those that bear the host's name: it alone is where the packets go. Routers never see it. */
  readonly instance: string;
  readonly epoch: number;
}

/** All leased blocks of an address at one moment. */
export interface Publication {
  /** Rises with every change of the blocks: an older publication never undoes a newer one. */
  readonly version: number;
  /** The newest epoch of the address: blocks granted later are not in here. */
  readonly lastEpoch: number;
  readonly blocks: readonly PublishedBlock[];
  /** An old copy knows only some of what is leased: nothing else is over for that. [OC4] */
  readonly isPartial?: true;
}

/** What the routers must know of an address now. */
export function publicationOf(table: LeaseTable): Publication {
  const isPartial = table.recovery !== null;
  const isKnown = ({ state, host }: LeaseRow): boolean =>
    state === "leased" && !(isPartial && table.holders.get(host)?.isUnheard === true);
  const leased: LeaseRow[] = [...table.rows.values()].filter(isKnown);
  return {
    version: table.steeringVersion,
    lastEpoch: table.lastEpoch,
    blocks: leased.map(({ base, order, host, instance, epoch }) => ({ base, order, host, instance, epoch })),
    ...(isPartial ? { isPartial } : {}),
  };
}

/** Whether the routers still have to be told something. */
export function isUnpublished(table: LeaseTable): boolean {
  return table.publishedVersion < table.steeringVersion;
}

/** What a pool holds of one address. */
export interface PublishedAddress {
  readonly ip: string;
  /** Of the newest publication taken; null before the first. */
  readonly version: number | null;
  readonly entries: readonly SteeringEntry[];
}

/** The part of a change that one address has in it. */
export type AddressChange = Pick<SteeringChange, "withdraw" | "put" | "addIps"> &
  Partial<Pick<SteeringChange, "removeIps">>;

/**
 * What a publication changes in the steering table. It is refused as a whole if it is older
 * than one that was taken, or if it would replace an entry by one with a lower epoch: then an
 * old copy of the address speaks. [ST3] [ST5]
 */
export function changeBy(
  stored: PublishedAddress,
  publication: Publication,
): Outcome<AddressChange, "publication-outdated"> {
  const { ip, version, entries } = stored;
  if (version !== null && publication.version < version) return refuse("publication-outdated");
  const kept = new Set<number>();
  const put: SteeringEntry[] = [];
  const storedEpochs = new Set(entries.map(({ epoch }) => epoch));
  for (const { base, order, host, epoch } of publication.blocks) {
    if (storedEpochs.has(epoch)) kept.add(epoch);
    else put.push({ ip, base, order, host, epoch });
  }
  if (publication.isPartial === true) return ok(joinedBy(stored, put));
  const leaving = entries.filter(({ epoch }) => !kept.has(epoch));
  const isOutdated = leaving.some((old) =>
    put.some((entry) => entry.epoch < old.epoch && blocksOverlap(entry, old)),
  );
  if (isOutdated) return refuse("publication-outdated");
  const withdraw = leaving.map(({ base, epoch }) => ({ ip, base, epoch }));
  return ok({ withdraw, put, addIps: version === null ? [ip] : [] });
}

/** What is known so far comes in where it is newer, and only what is in its way goes. [OC4] */
function joinedBy(
  { ip, version, entries }: PublishedAddress,
  found: readonly SteeringEntry[],
): AddressChange {
  const put = found.filter(
    (entry) => !entries.some((old) => old.epoch > entry.epoch && blocksOverlap(entry, old)),
  );
  const withdraw = entries
    .filter((old) => put.some((entry) => blocksOverlap(entry, old)))
    .map(({ base, epoch }) => ({ ip, base, epoch }));
  return { withdraw, put, addIps: version === null ? [ip] : [] };
}

/** What takes an address out of the steering table; null if routers were never told of it. [RE4] */
export function removalOf({ ip, version, entries }: PublishedAddress): AddressChange | null {
  if (version === null) return null;
  const withdraw = entries.map(({ base, epoch }) => ({ ip, base, epoch }));
  return { withdraw, put: [], addIps: [], removeIps: [ip] };
}

/**
 * Puts what addresses and hosts changed into as few changes as hold at most `limit` items
 * each, so that no message grows beyond what its reader takes. What makes room for an entry
 * comes no later than the entry itself, and what withdraws it again no sooner than the next
 * change: a change is carried out withdrawals first. [ST1] [ST8]
 */
export function toChanges(
  addresses: readonly AddressChange[],
  nextHops: readonly NextHop[],
  limit: number,
  nextSequence: () => number,
): SteeringChange[] {
  const changes: Mutable<SteeringChange>[] = [];
  let count = limit;
  let putTo = new Set<string>();
  const current = (): Mutable<SteeringChange> => {
    if (count === limit) {
      count = 0;
      putTo = new Set();
      const sequence = nextSequence();
      changes.push({ sequence, withdraw: [], put: [], addIps: [], removeIps: [], nextHops: [] });
    }
    count += 1;
    return changes.at(-1)!;
  };
  for (const nextHop of nextHops) current().nextHops.push(nextHop);
  for (const { withdraw, put, addIps, removeIps = [] } of addresses) {
    for (const ip of addIps) current().addIps.push(ip);
    for (const gone of withdraw) {
      // An address may have published twice.
      if (putTo.has(gone.ip)) count = limit;
      current().withdraw.push(gone);
    }
    for (const ip of removeIps) current().removeIps.push(ip);
    for (const entry of put) {
      current().put.push(entry);
      putTo.add(entry.ip);
    }
  }
  return changes;
}

type Mutable<Lists> = {
  -readonly [Key in keyof Lists]: Lists[Key] extends readonly (infer Item)[] ? Item[] : Lists[Key];
};

/**
 * All policy of an address, as a state machine: a table, a command and the time give events
 * and an answer, or a refusal. Nothing here waits, stores or sends.
 *
 * Time passes first: before any command is judged, leases that have ended are quarantined
 * and quarantines that are over are lifted, however late the alarm is. [LE4]
 */
import { chooseFor } from "./block-choice.ts";
import { applyEvent, type Holder, leasesOf, type LeaseEvent, type LeaseTable } from "./lease-table.ts";
import { ok, type Outcome, refuse } from "./outcome.ts";
import { letTimePass } from "./time-passing.ts";
import type { PoolSettings } from "./pool-settings.ts";
import type { Publication } from "./publication.ts";
import { MAX_ORDER, MIN_ORDER, type PortBlock } from "./port-block.ts";
import { isWantFresh } from "./fair-share.ts";
import {
  adoptTold,
  beginRecovery,
  endUntold,
  type Holdings,
  mustTellHoldings,
  type Restoration,
  type Told,
} from "./recovery.ts";
import { isStatic, settingsToFollow } from "./static-slots.ts";

/** What can be asked of a table. `session` comes from the connection, never from the message. */
export type LeaseCommand =
  | { readonly type: "configure"; readonly settings: PoolSettings }
  | {
      readonly type: "join";
      readonly host: string;
      readonly instance: string;
      /** What it holds, which only a table that is an old copy asks for. [OC1] */
      readonly holdings?: Holdings | undefined;
    }
  | { readonly type: "renew"; readonly host: string; readonly session: number }
  | {
      readonly type: "acquire";
      readonly host: string;
      readonly session: number;
      readonly requestId: string;
      readonly order: number;
    }
  | {
      readonly type: "release";
      readonly host: string;
      readonly session: number;
      readonly base: number;
      readonly epoch: number;
    }
  | { readonly type: "tick" }
  /** The pool has routers from now on. */
  | { readonly type: "steer" }
  /** The routers have applied this publication, or their deadline has passed. */
  | { readonly type: "applied"; readonly publication: Publication }
  /** The pool gives the address up, or takes it back. [RE1] */
  | { readonly type: "retire"; readonly isRetiring: boolean }
  /** This table is an old copy: there may be grants since that it does not know. [OC1] */
  | { readonly type: "restored"; readonly restoration: Restoration }
  /**
   * The operator says that whoever had these slots under a host's name is gone for good. They are named, for
   * this may come late: what its name was granted since is another's, who may be sending. [SM5] [LAW3]
   */
  | { readonly type: "remove"; readonly host: string; readonly epochs: readonly number[] };

/** Why a table refuses a command. */
export type LeaseRefusal =
  /** Another instance of this host holds leases that have not ended. [HO1] */
  | "host-already-present"
  /** A newer connection of this host has taken over, or it never joined. [HO2] */
  | "stale-session"
  /** The block is not held under this epoch. [EP2] */
  | "stale-epoch"
  /** No such block size. [PB1] */
  | "order-out-of-range"
  /** The host holds as much of this address as one host may. [AL4] */
  | "share-exceeded"
  /** What is left is kept for the minimum of the other hosts, or quarantined, or leased. [AL5] */
  | "address-exhausted"
  /** The routers have not applied the host's last grant yet, or cannot be told of it. [ST6] */
  | "steering-pending"
  /** The pool has given the address up: what is held may be renewed, and nothing is granted. [RE1] */
  | "ip-retiring"
  /** The table is an old copy, and does not know what this host holds: it is to tell. [OC3] */
  | "holdings-wanted"
  /** The table is an old copy: others may hold what is free in it. [OC2] */
  | "address-recovering";

/** A lease as its host is told of it. */
export interface Lease extends PortBlock {
  readonly epoch: number;
}

/**
 * What a granted command answers. `leases` is everything the host holds after the command: what it has beyond that
 * it must stop using, what it lacks it may take up. [HO3]
 */
export interface LeaseAnswer {
  readonly leases: readonly Lease[];
  /** From the moment the host sent its request. Null where the command extends nothing. */
  readonly leaseDurationMs: number | null;
  /** The host's session; null for commands that come from no host. */
  readonly session: number | null;
  /** The block that an acquire got. */
  readonly granted: Lease | null;
}

/** What a command came to: events to be stored in one transaction, and the answer. */
export interface LeaseDecision {
  readonly events: readonly LeaseEvent[];
  readonly outcome: Outcome<LeaseAnswer, LeaseRefusal>;
}

/**
 * Carries a command out on the table at this time (Unix milliseconds by the object's clock).
 * The table has changed when this returns; whoever cannot store the events must throw the
 * table away. `random` gives numbers in [0, 1) that cannot be guessed.
 */
export function execute(
  table: LeaseTable,
  command: LeaseCommand,
  nowMs: number,
  random: () => number,
): LeaseDecision {
  const events: LeaseEvent[] = [];
  const record = (event: LeaseEvent): void => {
    applyEvent(table, event);
    events.push(event);
  };
  // By an old copy no time has passed: it only begins to be looked at.
  if (command.type !== "restored") letTimePass(table, nowMs, record);
  return { outcome: judge(table, command, nowMs, random, record), events };
}

function judge(
  table: LeaseTable,
  command: LeaseCommand,
  nowMs: number,
  random: () => number,
  record: (event: LeaseEvent) => void,
): Outcome<LeaseAnswer, LeaseRefusal> {
  switch (command.type) {
    case "tick":
      return ok({ leases: [], leaseDurationMs: null, session: null, granted: null });
    case "configure":
      // By a shorter quarantine the time since the last look would be taken for a leap. [LE6]
      record({ type: "clock-read", atMs: nowMs, shiftMs: 0 });
      record({ type: "configured", settings: settingsToFollow(table, command.settings) });
      return ok({ leases: [], leaseDurationMs: null, session: null, granted: null });
    case "steer":
      if (!table.isSteered) record({ type: "steering-began" });
      return ok({ leases: [], leaseDurationMs: null, session: null, granted: null });
    case "retire":
      if (table.isRetiring !== command.isRetiring) {
        record({ type: "retired", isRetiring: command.isRetiring });
      }
      return ok({ leases: [], leaseDurationMs: null, session: null, granted: null });
    case "restored":
      beginRecovery(table, command.restoration, nowMs, record);
      return ok({ leases: [], leaseDurationMs: null, session: null, granted: null });
    case "remove":
      remove(table, command, nowMs, record);
      return ok({ leases: [], leaseDurationMs: null, session: null, granted: null });
    case "applied":
      apply(table, command.publication, record);
      return ok({ leases: [], leaseDurationMs: null, session: null, granted: null });
    case "join":
      return join(table, command, nowMs, record);
    case "renew":
    case "acquire":
    case "release": {
      const holder = table.holders.get(command.host);
      if (holder === undefined || holder.session !== command.session) return refuse("stale-session");
      if (command.type === "renew") return renew(table, holder, nowMs, record);
      if (command.type === "acquire") return acquire(table, holder, command, nowMs, random, record);
      return release(table, holder, command, nowMs, record);
    }
  }
}

function join(
  table: LeaseTable,
  { host, instance, holdings }: LeaseCommand & { type: "join" },
  nowMs: number,
  record: (event: LeaseEvent) => void,
): Outcome<LeaseAnswer, LeaseRefusal> {
  let told: Told | null = null;
  if (mustTellHoldings(table, host, instance)) {
    if (holdings === undefined) return refuse("holdings-wanted");
    told = { host, instance, holdings };
    endUntold(table, told, nowMs, record);
  }
  const present = table.holders.get(host);
  // A duplicate instance is refused for as long as the first could still be sending. [HO1]
  if (present && present.instance !== instance && leasesOf(table, host).length > 0) {
    return refuse("host-already-present");
  }
  const { leaseDurationMs } = table.settings;
  const session = table.lastSession + 1;
  // What was promised to it before may last longer than what the settings of a copy say. [OC3]
  const newEndMs = nowMs + Math.max(leaseDurationMs, told?.holdings.leftMs ?? 0);
  // Also of another instance: the one before may come back, and knows of the later end. [LE5]
  const expiresAtMs = present === undefined ? newEndMs : laterOf(present, newEndMs);
  record({ type: "joined", holder: { host, instance, session, expiresAtMs } });
  if (told !== null) adoptTold(table, told, nowMs, record);
  return ok({ leases: leasesFor(table, host), leaseDurationMs, session, granted: null });
}

function renew(
  table: LeaseTable,
  holder: Holder,
  nowMs: number,
  record: (event: LeaseEvent) => void,
): Outcome<LeaseAnswer, LeaseRefusal> {
  const { leaseDurationMs } = table.settings;
  const isEndless = isStatic(table.settings) && leasesOf(table, holder.host).length > 0;
  // A slot has no end that could be put off, so asking for it costs no row. [SM3]
  if (!isEndless) {
    record({ type: "renewed", host: holder.host, expiresAtMs: laterOf(holder, nowMs + leaseDurationMs) });
  }
  return ok({
    leases: leasesFor(table, holder.host),
    leaseDurationMs,
    session: holder.session,
    granted: null,
  });
}

function acquire(
  table: LeaseTable,
  holder: Holder,
  request: { readonly requestId: string; readonly order: number },
  nowMs: number,
  random: () => number,
  record: (event: LeaseEvent) => void,
): Outcome<LeaseAnswer, LeaseRefusal> {
  const { order, requestId } = request;
  if (!Number.isInteger(order) || order < MIN_ORDER || order > MAX_ORDER) {
    return refuse("order-out-of-range");
  }
  const held = leasesOf(table, holder.host);
  const answered = held.find((row) => row.requestId === requestId);
  const { leaseDurationMs } = table.settings;
  let granted = answered;
  if (granted === undefined) {
    // One request at a time: a host that gave up on an answer finds that block in its leases. [ST6]
    if (held.some((row) => !row.steered)) return refuse("steering-pending");
    // A slot that could not be told of when it was granted is asked for like one that is not there. [SM2]
    if (isStatic(table.settings)) granted = held[0];
  }
  if (granted === undefined) {
    if (table.recovery !== null) return refuse("address-recovering");
    if (table.isRetiring) return refuse("ip-retiring");
    const chosen = chooseFor(table, holder, order, nowMs, random);
    if (!chosen.ok) {
      // Nobody can make room for another where each has one slot.
      const isNews = !isStatic(table.settings) && !isWantFresh(table, holder.host, nowMs);
      if (chosen.refusal === "address-exhausted" && isNews) {
        record({ type: "wanted", host: holder.host, atMs: nowMs });
      }
      return chosen;
    }
    const { block, quarantined } = chosen.value;
    // The last holder takes its own block up again: the old row ends, the epoch rises. [QU3]
    if (quarantined !== null) record({ type: "freed", epoch: quarantined });
    granted = {
      ...block,
      epoch: table.lastEpoch + 1,
      host: holder.host,
      instance: holder.instance,
      state: "leased",
      grantedAtMs: nowMs,
      requestId,
      endedAtMs: null,
      freeAtMs: null,
      steered: !table.isSteered,
    };
    record({ type: "granted", row: granted });
    if (table.wants.has(holder.host)) record({ type: "satisfied", host: holder.host });
  }
  record({ type: "renewed", host: holder.host, expiresAtMs: laterOf(holder, nowMs + leaseDurationMs) });
  return ok({
    leases: leasesFor(table, holder.host),
    leaseDurationMs,
    session: holder.session,
    granted: { base: granted.base, order: granted.order, epoch: granted.epoch },
  });
}

function release(
  table: LeaseTable,
  holder: Holder,
  request: { readonly base: number; readonly epoch: number },
  nowMs: number,
  record: (event: LeaseEvent) => void,
): Outcome<LeaseAnswer, LeaseRefusal> {
  const row = table.rows.get(request.epoch);
  if (row?.state !== "leased" || row.host !== holder.host || row.base !== request.base) {
    return refuse("stale-epoch");
  }
  const freeAtMs = nowMs + table.settings.quarantineMs;
  record({ type: "ended", epoch: row.epoch, end: "released", endedAtMs: nowMs, freeAtMs });
  return ok({
    leases: leasesFor(table, holder.host),
    leaseDurationMs: null,
    session: holder.session,
    granted: null,
  });
}

/** Leases that end with time are left to it: their host may still be sending, and stops in time. */
function remove(
  table: LeaseTable,
  { host, epochs }: LeaseCommand & { type: "remove" },
  nowMs: number,
  record: (event: LeaseEvent) => void,
): void {
  if (!isStatic(table.settings)) return;
  const { quarantineMs } = table.settings;
  for (const row of leasesOf(table, host)) {
    if (!epochs.includes(row.epoch)) continue;
    const freeAtMs = nowMs + quarantineMs;
    record({ type: "ended", epoch: row.epoch, end: "removed", endedAtMs: nowMs, freeAtMs });
  }
}

/** A lease never shrinks: the host may already count on the longer time. [LE5] */
function laterOf(holder: Holder, expiresAtMs: number): number {
  return Math.max(holder.expiresAtMs, expiresAtMs);
}

/** Leaves out blocks that the routers do not know yet: their hosts must not use them. [ST4] */
function leasesFor(table: LeaseTable, host: string): Lease[] {
  return leasesOf(table, host)
    .filter((row) => row.steered)
    .map(({ base, order, epoch }) => ({ base, order, epoch }));
}

/** Whether an answer must be held back until the routers have applied its grant. [ST4] */
export function awaitsRouters(table: LeaseTable, { granted }: LeaseAnswer): boolean {
  return granted !== null && table.rows.get(granted.epoch)?.steered === false;
}

function apply(
  table: LeaseTable,
  { version, lastEpoch }: Publication,
  record: (event: LeaseEvent) => void,
): void {
  for (const row of table.rows.values()) {
    // What was granted since is not in that publication.
    if (!row.steered && row.epoch <= lastEpoch) record({ type: "steered", epoch: row.epoch });
  }
  if (version > table.publishedVersion) record({ type: "published", version });
}

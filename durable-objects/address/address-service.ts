/**
 * One egress IP: owns the table of which host may send from which of its ports.
 *
 * The service only stores, wakes up and speaks; every decision is `core/lease-commands.ts`.
 * A command and its events are one storage transaction, and no answer leaves before they are
 * on disk. The table in memory is a copy of the disk, made when first needed. [DO3] [DO6]
 */
import { steeringPatienceMs } from "../../src/core/acknowledgement.ts";
import { freeBlocks, portTotal } from "../../src/core/buddy-allocator.ts";
import {
  awaitsRouters,
  execute,
  type LeaseAnswer,
  type LeaseCommand,
  type LeaseRefusal,
} from "../../src/core/lease-commands.ts";
import { type Holder, type LeaseEvent, type LeaseRow, nextDeadlineMs } from "../../src/core/lease-table.ts";
import type { LeaseReply, LeaseRequest, MessageRefusal } from "../../src/core/messages.ts";
import { grant, type Outcome, refuse } from "../../src/core/outcome.ts";
import type { PoolSettings } from "../../src/core/pool-settings.ts";
import { isUnpublished, type Publication, publicationOf } from "../../src/core/publication.ts";
import { settingsFor } from "../../src/core/share.ts";
import { parseLeaseRequest } from "../../src/wire/messages.ts";
import type { AddressOrder, AddressStanding } from "../calls/address-calls.ts";
import type { AddressPool } from "../calls/pool-calls.ts";
import { TIMED_OUT, within } from "../platform/deadline.ts";
import {
  type Acceptance,
  CLOSE_FENCED,
  CLOSE_REFUSED,
  isOpen,
  type ObjectSocket,
  type ObjectWorld,
  sendTo,
} from "../platform/object-world.ts";
import { migrate } from "../storage/migrate.ts";
import { ADDRESS_MIGRATIONS } from "./address-schema.ts";
import { LEFT, SERVE, standingOf } from "./address-standing.ts";
import { KEPT_PAST_LEASES, LeaseStore, type StoredAddress } from "./lease-store.ts";

/** An address as an administrator sees it. Instance keys are left out: they prove identity. */
export interface AddressDescription {
  readonly pool: string;
  /** Whether the pool has given the address up, so that nothing more is granted. */
  readonly retiring: boolean;
  readonly settings: PoolSettings;
  readonly lastEpoch: number;
  readonly freePortCount: number;
  readonly holders: readonly Omit<Holder, "instance">[];
  /** Leased and quarantined, oldest epoch first. */
  readonly blocks: readonly Omit<LeaseRow, "instance" | "requestId">[];
}

/** Stays with a socket. A host that has not joined on it has no session. */
interface LeaseAttachment {
  readonly host: string;
  readonly session: number | null;
  /** To which the address belonged then: the host may not be permitted another. [RE7] */
  readonly pool: string;
}

/** Sessions count from 1, so this one is always stale. */
const NO_SESSION = 0;
/** Repeated to a host whose message named no request. */
const UNNAMED_REQUEST = "";

/** A pool that could not be told is told again after this time, then after twice as long. */
const RETRY_AFTER_MS = 1_000;
const LONGEST_RETRY_MS = 30_000;
/** Beyond the routers' deadline the pool itself may take this long, or an eighth of a lease. */
const PUBLISH_SLACK_MS = 5_000;

/** What a host said, until it is answered. */
interface Heard {
  readonly socket: ObjectSocket;
  readonly message: string | ArrayBuffer;
}

/** One per egress IP, in the object named as the address. */
export class AddressService {
  readonly #world: ObjectWorld;
  readonly #poolOf: (name: string) => AddressPool;
  readonly #store: LeaseStore;
  /** Copies of what is stored; whoever fails to store throws the whole instance away. */
  #loaded: StoredAddress | null = null;
  #alarmAtMs: number | null = null;
  #alarmSet: Promise<void> = Promise.resolve();
  /** What was heard and is answered in the next turn, in the order in which it came. */
  readonly #waiting: Heard[] = [];
  #turn: Promise<void> | null = null;
  /** What is answered once the routers have followed; its blocks are on disk. [ST4] */
  #held: Heard[] = [];
  #publishing: Promise<void> | null = null;
  #publishFailureCount = 0;

  constructor(world: ObjectWorld, poolOf: (name: string) => AddressPool) {
    this.#world = world;
    this.#poolOf = poolOf;
    migrate(world.storage, ADDRESS_MIGRATIONS);
    this.#store = new LeaseStore(world.storage);
  }

  /** To be told before anything else when the object wakes up: the alarm that is set; null for none. */
  awake(alarmAtMs: number | null): void {
    this.#alarmAtMs = alarmAtMs;
  }

  /**
   * Gives the address to a pool, changes the settings it follows there, or takes it from there
   * step by step. When it hears of routers for the first time it has published its blocks when
   * this is done, or tries again. [RE6]
   */
  async assign(
    pool: string,
    settings: PoolSettings,
    isSteered = false,
    { revision, wish }: AddressOrder = SERVE,
  ): Promise<Outcome<AddressStanding, "ip-elsewhere">> {
    const { name } = this.#world;
    if (name === undefined) throw new Error("an address's object is reached by the address");
    const present = this.#address();
    // To a pool that wants to be rid of it, it is gone.
    if (present !== null && present.pool !== pool) {
      return wish === "serve" ? refuse("ip-elsewhere") : grant(LEFT);
    }
    const heeded = this.#store.orderOf(pool);
    if (revision !== null && revision < heeded) return grant({ standing: "outdated", revision: heeded });
    if (revision !== null && revision > heeded) this.#stored(() => this.#store.noteOrder(pool, revision));
    if (present === null && wish !== "serve") return grant(LEFT);
    if (present === null) this.#stored(() => this.#store.assign(name, pool, settings));
    if (this.#address()?.ip === null) {
      this.#stored(() => this.#store.name(name));
      this.#loaded = null;
    }
    const address = this.#address()!;
    if (JSON.stringify(address.table.settings) !== JSON.stringify(settings)) {
      this.#execute(address, { type: "configure", settings });
      this.#tellHosts(address);
    }
    // While it retires, time passes as well: what has ended meanwhile is not waited for.
    if (wish !== "serve" || address.table.isRetiring) {
      this.#execute(address, { type: "retire", isRetiring: wish !== "serve" });
    }
    const begins = isSteered && !address.table.isSteered;
    if (begins) this.#execute(address, { type: "steer" });
    const standing = standingOf(address.table, this.#world.nowMs());
    const isLeaving = wish === "leave" && standing.standing === "retiring" && standing.isEmpty;
    if (isLeaving) this.#leave();
    await Promise.all([this.#alarmSet, begins ? this.#publishing : null]);
    return grant(isLeaving ? LEFT : standing);
  }

  /** The table as it stands now. */
  async describe(): Promise<Outcome<AddressDescription, "ip-unknown">> {
    const address = this.#address();
    if (address === null) return refuse("ip-unknown");
    this.#execute(address, { type: "tick" });
    const { settings, lastEpoch, holders, rows } = address.table;
    return grant({
      pool: address.pool,
      retiring: address.table.isRetiring,
      settings,
      lastEpoch,
      freePortCount: portTotal(freeBlocks(rows.values())),
      holders: [...holders.values()].map(({ instance: _secret, ...holder }) => holder),
      blocks: [...rows.values()].map(({ instance: _secret, requestId: _private, ...row }) => row),
    });
  }

  /** Connects a host. An address that belongs to no pool has no settings to lease by. [DO7] */
  connect(host: string): Outcome<Acceptance, "ip-unknown"> {
    const address = this.#address();
    if (address === null) return refuse("ip-unknown");
    const attachment: LeaseAttachment = { host, session: null, pool: address.pool };
    return grant({ tags: [host], attachment });
  }

  /** Hears a host; done when it is answered, or held back. */
  async heard(socket: ObjectSocket, message: string | ArrayBuffer): Promise<void> {
    this.#waiting.push({ socket, message });
    await (this.#turn ??= this.#takeTurn());
  }

  /** A host has gone; done when all is heard that it said before. */
  async closed(): Promise<void> {
    await this.#turn;
  }

  /**
   * Lets time pass. It may come late, early or twice: what is due is judged by the table, and
   * commands judge by the clock anyway, so the alarm only keeps the stored table honest. [DO8]
   */
  async alarm(): Promise<void> {
    this.#alarmAtMs = null;
    const address = this.#address();
    if (address === null) return;
    this.#execute(address, { type: "tick" });
    this.#stored(() => this.#store.prune(KEPT_PAST_LEASES));
    await this.#alarmSet;
  }

  /** Nothing is held back then, and nothing is being published: there is no lease to tell of. */
  #leave(): void {
    this.#stored(() => this.#store.leave());
    this.#loaded = null;
  }

  #address(): StoredAddress | null {
    this.#loaded ??= this.#store.load();
    return this.#loaded;
  }

  /**
   * Answers everything that waits. What an object does in one turn is one commit, and the commit
   * is what a command costs: those that come at the same moment share it. Each is a transaction
   * of its own all the same, and every answer waits for the disk. Nothing is lost with the queue:
   * a host that has no answer asks again. [DO17]
   */
  async #takeTurn(): Promise<void> {
    await this.#world.wait(0);
    this.#turn = null;
    for (const { socket, message } of this.#waiting.splice(0)) this.#answer(socket, message);
    await this.#alarmSet;
  }

  #answer(socket: ObjectSocket, message: string | ArrayBuffer): void {
    const address = this.#address();
    const { host, session, pool } = socket.deserializeAttachment() as LeaseAttachment;
    if (address === null || address.pool !== pool) return socket.close(CLOSE_REFUSED, "ip-unknown");
    const request =
      typeof message === "string" ? parseLeaseRequest(message) : refuse("message-malformed" as const);
    if (!request.ok) return refuseRequest(socket, requestIdIn(message), request.refusal);
    const { requestId, type } = request.value;
    const outcome = this.#execute(address, commandOf(request.value, host, session));
    if (!outcome.ok) return refuseRequest(socket, requestId, outcome.refusal, type === "join");
    if (awaitsRouters(address.table, outcome.value)) return this.#hold({ socket, message });
    if (type === "join") this.#handOver({ host, pool, session: outcome.value.session! }, socket);
    const { leases, leaseDurationMs, granted } = outcome.value;
    const settings = settingsFor(address.table, host, this.#world.nowMs());
    sendTo(socket, {
      type: "answer",
      requestId,
      leases,
      leaseDurationMs,
      granted,
      settings,
    } satisfies LeaseReply);
  }

  #execute(address: StoredAddress, command: LeaseCommand): Outcome<LeaseAnswer, LeaseRefusal> {
    const { events, outcome } = this.#stored(() => {
      const decision = execute(address.table, command, this.#world.nowMs(), this.#world.random);
      this.#store.append(decision.events);
      return decision;
    });
    if (this.#alarmAtMs === null || !events.every(endsNothingSooner)) {
      this.#wakeBy(nextDeadlineMs(address.table));
    }
    if (isUnpublished(address.table)) this.#publishSoon(address);
    return outcome;
  }

  /** Asked again, a request is held once. */
  #hold(heard: Heard): void {
    this.#held = this.#held.filter((held) => held.socket !== heard.socket || held.message !== heard.message);
    this.#held.push(heard);
  }

  /** The alarm sees to it that what this instance does not bring to an end is begun again. [ST5] */
  #publishSoon(address: StoredAddress): void {
    const delayMs = Math.min(LONGEST_RETRY_MS, RETRY_AFTER_MS * 2 ** this.#publishFailureCount);
    this.#wakeBy(this.#world.nowMs() + delayMs);
    if (this.#publishing !== null) return;
    this.#publishing = this.#publishAll(address);
    this.#world.keepAwake(this.#publishing);
  }

  /** One publication after the other, until the routers know all there is. */
  async #publishAll(address: StoredAddress): Promise<void> {
    while (isUnpublished(address.table)) {
      const publication = publicationOf(address.table);
      try {
        await this.#publish(address, publication);
        this.#publishFailureCount = 0;
      } catch (fault) {
        this.#world.report(`address ${address.ip} could not be published`, fault);
        this.#publishFailureCount += 1;
        // Fail closed, by name: the host keeps what it has and goes on renewing it. [ST6]
        for (const { socket, message } of this.#held.splice(0)) {
          refuseRequest(socket, requestIdIn(message), "steering-pending");
        }
        break;
      }
      this.#execute(address, { type: "followed", publication });
      // A request that is asked again gets the block it got, and the leases as they are now. [ME2]
      for (const { socket, message } of this.#held.splice(0)) {
        if (isOpen(socket)) this.#answer(socket, message);
      }
    }
    this.#publishing = null;
  }

  async #publish({ ip, pool, table }: StoredAddress, publication: Publication): Promise<void> {
    if (ip === null) throw new Error("no pool has named the address yet");
    const { settings } = table;
    const slackMs = Math.min(PUBLISH_SLACK_MS, Math.floor(settings.leaseDurationMs / 8));
    const answer = (async () => this.#poolOf(pool).publish(ip, publication))();
    const published = await within(this.#world, steeringPatienceMs(settings) + slackMs, answer);
    if (published === TIMED_OUT) throw new Error("the pool does not answer");
    if (!published.ok) throw new Error(published.refusal);
  }

  /** Stores all or nothing; after a failure memory may be ahead of the disk, so it goes. [DO6] */
  #stored<Result>(closure: () => Result): Result {
    try {
      return this.#world.storage.transactionSync(closure);
    } catch (fault) {
      this.#loaded = null;
      this.#world.abort(`storage failed: ${String(fault)}`);
      throw fault;
    }
  }

  /** An alarm that comes too early costs less than moving it at every renewal. [DO8] */
  #wakeBy(deadlineMs: number | null): void {
    if (deadlineMs === null || (this.#alarmAtMs !== null && this.#alarmAtMs <= deadlineMs)) return;
    this.#alarmAtMs = deadlineMs;
    // Begun in the same turn, it is part of the same commit.
    this.#alarmSet = this.#world.setAlarm(deadlineMs);
  }

  /** New settings come with an answer, and the next renewal may be long in coming. [DO18] */
  #tellHosts({ table, pool }: StoredAddress): void {
    for (const host of table.holders.keys()) {
      for (const socket of this.#world.sockets(host)) {
        const attached = socket.deserializeAttachment() as LeaseAttachment;
        if (attached.session === null || attached.pool !== pool) continue;
        sendTo(socket, { type: "changed" } satisfies LeaseReply);
      }
    }
  }

  /** From now on the host speaks through this socket alone. [HO2] [DO9] */
  #handOver(attachment: LeaseAttachment & { session: number }, socket: ObjectSocket): void {
    const { host, session } = attachment;
    socket.serializeAttachment(attachment);
    for (const other of this.#world.sockets(host)) {
      const joined = (other.deserializeAttachment() as LeaseAttachment).session;
      if (joined !== null && joined < session && isOpen(other)) other.close(CLOSE_FENCED, "stale-session");
    }
  }
}

function commandOf(request: LeaseRequest, host: string, session: number | null): LeaseCommand {
  if (request.type === "join") return { type: "join", host, instance: request.instance };
  return { ...request, host, session: session ?? NO_SESSION };
}

/** After a grant or a renewal the next deadline is what it was, or later: no need to look for it. */
function endsNothingSooner({ type }: LeaseEvent): boolean {
  return type === "granted" || type === "renewed";
}

/** A connection whose opening is refused is closed as well: nothing can follow on it. */
function refuseRequest(
  socket: ObjectSocket,
  requestId: string,
  code: LeaseRefusal | MessageRefusal,
  isOpening = code === "version-unsupported",
): void {
  sendTo(socket, { type: "refused", requestId, code } satisfies LeaseReply);
  if (isOpening && isOpen(socket)) socket.close(CLOSE_REFUSED, code);
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

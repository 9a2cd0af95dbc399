/**
 * Brings the addresses of a pool to the state that the pool wants: its settings, and whether they
 * serve, retire, or have left.
 *
 * What is wanted is on disk before any address is told. An address that has not confirmed is asked
 * again, by an alarm that is set before the question. So an object may be restarted between any two
 * steps. [DO11] [RE6]
 */
import type { AddressOrder, AddressStatus, PoolAddress } from "../calls/address-calls.ts";
import type { EventLog } from "../events/event-log.ts";
import type { ObjectPlatform } from "../platform/object-platform.ts";
import type { SteeringFeed } from "../steering/steering-feed.ts";
import type { PoolStore, StoredPool } from "./pool-store.ts";

/** What the orders need of their pool. */
export interface OrdersOptions {
  readonly platform: ObjectPlatform;
  readonly store: PoolStore;
  readonly steering: SteeringFeed;
  readonly events: EventLog;
  readonly addressOf: (ip: string) => PoolAddress;
  /** Which addresses hosts are to serve may have changed. */
  readonly onChange: () => void;
}

/** After which an address that could not be told is told again. */
const RETRY_AFTER_MS = 2_000;
/** Each question is a request of its own, and an object may have only so many under way, */
const ASKED_AT_ONCE = 50;
/** and only so many each time it is woken; the alarm goes on with the others. */
const ASKED_IN_ONE_PUSH = 500;

/** One per pool object. */
export class AddressOrders {
  readonly #options: OrdersOptions;
  /** One push after the other, so that older settings never overtake newer ones. */
  #push: Promise<void> = Promise.resolve();
  /** Where the last push had to stop, so that addresses that fail cannot starve the others. */
  #askedUpTo = "";

  constructor(options: OrdersOptions) {
    this.#options = options;
  }

  /** To be called in the turn that writes what is wanted: whatever comes then, `push` is called again. */
  async wakeLater(): Promise<void> {
    const { platform } = this.#options;
    await platform.setAlarm(platform.nowMs() + RETRY_AFTER_MS);
  }

  /**
   * Tells the addresses that are not as they should be, this one first; done when each, or as many
   * as may be asked at a time, has answered or failed once.
   */
  push(first: string | null = null): Promise<void> {
    const pushNow = (): Promise<void> => this.#pushNow(first);
    this.#push = this.#push.then(pushNow, pushNow);
    return this.#push;
  }

  async #pushNow(first: string | null): Promise<void> {
    const { platform } = this.#options;
    const ips = this.#takeTurn(first);
    if (ips.length > 0) await this.wakeLater();
    const againInMs = new Map<string, number>();
    // Parallel lanes, not batches: an address that does not answer delays few others.
    const queue = ips.values();
    const lane = async (): Promise<void> => {
      for (const ip of queue) againInMs.set(ip, await this.#tell(ip));
    };
    await Promise.all(Array.from({ length: ASKED_AT_ONCE }, lane));
    // Much may have been wanted meanwhile, and its push may never come.
    const left = this.#toTell();
    if (left.length === 0) return platform.deleteAlarm();
    const soonestMs = Math.min(...left.map((ip) => againInMs.get(ip) ?? RETRY_AFTER_MS));
    await platform.setAlarm(platform.nowMs() + soonestMs);
  }

  #toTell(): string[] {
    const { store } = this.#options;
    const pool = store.pool();
    return pool === null ? [] : store.ipsToTell(pool.revision);
  }

  /** Whom to ask now: if not all, then the others next time. */
  #takeTurn(first: string | null): string[] {
    const ips = this.#toTell();
    const ahead = ips.filter((ip) => ip === first);
    const following = ips.filter((ip) => ip > this.#askedUpTo);
    const turn = [...new Set([...ahead, ...following, ...ips])].slice(0, ASKED_IN_ONE_PUSH);
    this.#askedUpTo = turn.length < ips.length ? turn.at(-1)! : "";
    return turn;
  }

  /** Tells one address what is wanted of it now; answers when it is to be told again, if ever. */
  async #tell(ip: string): Promise<number> {
    const { platform, store } = this.#options;
    const pool = store.pool();
    const known = store.ip(ip);
    if (pool === null || known === null) return RETRY_AFTER_MS;
    try {
      const answer = await this.#ask(pool, ip, known.retiring === null ? "serve" : "retire");
      if (!answer.ok) {
        if (store.isConfirmed(ip)) platform.report(`address ${ip} belongs to another pool by now`);
        this.#forget(ip, "ip-elsewhere");
      } else if (answer.value.status === "outdated") {
        store.outdo(answer.value.revision);
      } else if (known.retiring !== null) {
        return await this.#retire(pool, ip, answer.value);
      } else if (answer.value.status === "serving") {
        this.#follows(ip, pool.revision);
      }
    } catch (fault) {
      platform.report(`address ${ip} could not be told what its pool wants`, fault);
    }
    return RETRY_AFTER_MS;
  }

  /** Takes the next steps that a retiring address allows. [RE2] [RE3] */
  async #retire(pool: StoredPool, ip: string, answered: AddressStatus): Promise<number> {
    let status = answered;
    const { store, steering } = this.#options;
    if (status.status === "retiring") {
      store.noteRemaining(ip, status);
      this.#follows(ip, pool.revision);
      if (!status.isEmpty) return status.againInMs;
      // No host can be sending. Until the routers have forgotten it, no other pool can have it.
      await steering.applied(steering.remove(ip));
      if (!this.#isRetiring(ip)) return RETRY_AFTER_MS;
      const answer = await this.#ask(pool, ip, "leave");
      if (answer.ok) status = answer.value;
    }
    // Taken back meanwhile, it is asked to serve by the next push.
    if (status.status === "left" && this.#isRetiring(ip)) this.#forget(ip, null);
    return RETRY_AFTER_MS;
  }

  /** Even an answer to a removal confirms that the address is the pool's, which may want it back by now. */
  #follows(ip: string, revision: number): void {
    const { platform, store, onChange } = this.#options;
    const isNew = !store.isConfirmed(ip);
    store.markFollowing(ip, revision, platform.nowMs());
    if (isNew) onChange();
  }

  #ask({ name, settings, isSteered, revision }: StoredPool, ip: string, wish: AddressOrder["wish"]) {
    return this.#options.addressOf(ip).assign(name, settings, isSteered, { revision, wish });
  }

  #isRetiring(ip: string): boolean {
    const known = this.#options.store.ip(ip);
    return known !== null && known.retiring !== null;
  }

  #forget(ip: string, reason: "ip-elsewhere" | null): void {
    const { store, steering, events, onChange } = this.#options;
    // Mostly they know already; nobody waits for those that do not.
    steering.remove(ip);
    store.forgetIp(ip);
    events.note({ kind: "address-removed", ip, ...(reason === null ? {} : { reason }) });
    onChange();
  }
}

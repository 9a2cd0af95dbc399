/** What a pool asks all of its addresses when its operator wants to know, and what it has them do at once. */
import type { HeldBlock, PoolAddress } from "../calls/address-calls.ts";
import type { ObjectPlatform } from "../platform/object-platform.ts";
import type { PoolStore } from "./pool-store.ts";

/** What the questions need of their pool. */
export interface QuestionsOptions {
  readonly platform: Pick<ObjectPlatform, "report" | "nowMs">;
  readonly store: PoolStore;
  readonly addressOf: (ip: string) => PoolAddress;
}

/** Each question is a request of its own, and an object may have only so many under way. */
const ASKED_AT_ONCE = 50;

/** One per pool object. */
export class AddressQuestions {
  readonly #options: QuestionsOptions;
  #held = { atMs: -Infinity, byIp: new Map<string, readonly HeldBlock[] | null>() };

  constructor(options: QuestionsOptions) {
    this.#options = options;
  }

  /** What is not free of each address of the pool; null for one that does not answer. It may be so old. */
  async held(oldestMs = 0): Promise<Map<string, readonly HeldBlock[] | null>> {
    const { platform, addressOf } = this.#options;
    const nowMs = platform.nowMs();
    if (Math.abs(nowMs - this.#held.atMs) < oldestMs) return this.#held.byIp;
    const held = new Map<string, readonly HeldBlock[] | null>();
    await inLanes(this.#ips(), async (ip) => {
      try {
        held.set(ip, await addressOf(ip).held());
      } catch (fault) {
        platform.report(`address ${ip} could not be asked what is held of it`, fault);
        held.set(ip, null);
      }
    });
    this.#held = { atMs: nowMs, byIp: held };
    return held;
  }

  /**
   * Has all addresses end slots of a host, each by its epoch. An order may come late, even after this pool has
   * given it up. False if an address does not answer. [SM5]
   */
  async endSlots(host: string, slots: ReadonlyMap<string, readonly number[]>): Promise<boolean> {
    const { platform, store, addressOf } = this.#options;
    const { name } = store.pool()!;
    let isDone = true;
    await inLanes([...slots], async ([ip, epochs]) => {
      try {
        await addressOf(ip).removeHost(name, host, epochs);
      } catch (fault) {
        platform.report(`address ${ip} could not be told that host ${host} is gone`, fault);
        isDone = false;
      }
    });
    return isDone;
  }

  #ips(): string[] {
    const { store } = this.#options;
    const ips = store.ips().map(({ ip }) => ip);
    return ips.filter((ip) => store.isConfirmed(ip));
  }
}

async function inLanes<Item>(items: readonly Item[], work: (item: Item) => Promise<void>): Promise<void> {
  const queue = items.values();
  const lane = async (): Promise<void> => {
    for (const item of queue) await work(item);
  };
  await Promise.all(Array.from({ length: ASKED_AT_ONCE }, lane));
}

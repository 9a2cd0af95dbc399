/**
 * Publishes the blocks of an address to its pool, until the routers know all of them. If this
 * instance ends before that, the alarm begins again. [ST4] [ST5] [ST6]
 */
import { steeringTimeoutMs } from "../../src/core/acknowledgement.ts";
import { isUnpublished, type Publication, publicationOf } from "../../src/core/publication.ts";
import type { AddressPool } from "../calls/pool-calls.ts";
import { TIMED_OUT, within } from "../platform/deadline.ts";
import type { ObjectPlatform } from "../platform/object-platform.ts";
import type { AddressTable } from "./address-table.ts";
import type { StoredAddress } from "./lease-store.ts";

/** A pool that could not be told is told again after this time, then after twice as long. */
const RETRY_AFTER_MS = 1_000;
const LONGEST_RETRY_MS = 30_000;
/** Beyond the routers' deadline the pool itself may take this long, or an eighth of a lease. */
const PUBLISH_SLACK_MS = 5_000;

/** What the publisher needs of its address. */
export interface PublisherOptions {
  readonly platform: ObjectPlatform;
  readonly table: AddressTable;
  readonly poolOf: (name: string) => AddressPool;
  /** The routers have applied a publication. */
  readonly onApplied: () => void;
  readonly onFailed: () => void;
}

/** One per egress IP. */
export class AddressPublisher {
  readonly #options: PublisherOptions;
  #publishing: Promise<void> | null = null;
  #failureCount = 0;

  constructor(options: PublisherOptions) {
    this.#options = options;
  }

  /** Done when the publication under way has succeeded or failed; null if there is none. */
  get publishing(): Promise<void> | null {
    return this.#publishing;
  }

  /** There is something to publish. */
  publishSoon(address: StoredAddress): void {
    const { platform, table } = this.#options;
    const delayMs = Math.min(LONGEST_RETRY_MS, RETRY_AFTER_MS * 2 ** this.#failureCount);
    table.wakeBy(platform.nowMs() + delayMs);
    if (this.#publishing !== null) return;
    this.#publishing = this.#publishAll(address);
    platform.keepAwake(this.#publishing);
  }

  /** One publication after the other, until the routers know all there is. */
  async #publishAll(address: StoredAddress): Promise<void> {
    const { platform, table, onApplied, onFailed } = this.#options;
    while (isUnpublished(address.table)) {
      const publication = publicationOf(address.table);
      try {
        await this.#publish(address, publication);
        this.#failureCount = 0;
      } catch (fault) {
        platform.report(`address ${address.ip} could not be published`, fault);
        this.#failureCount += 1;
        onFailed();
        break;
      }
      table.execute(address, { type: "applied", publication });
      onApplied();
    }
    this.#publishing = null;
  }

  async #publish({ ip, pool, table }: StoredAddress, publication: Publication): Promise<void> {
    if (ip === null) throw new Error("no pool has named the address yet");
    const { platform, poolOf } = this.#options;
    const { settings } = table;
    const slackMs = Math.min(PUBLISH_SLACK_MS, Math.floor(settings.leaseDurationMs / 8));
    const answer = (async () => poolOf(pool).publish(ip, publication))();
    const published = await within(platform, steeringTimeoutMs(settings) + slackMs, answer);
    if (published === TIMED_OUT) throw new Error("the pool does not answer");
    if (!published.ok) throw new Error(published.refusal);
  }
}

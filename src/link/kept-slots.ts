/**
 * The static slots of this host on disk: what it sends from after a start without the edge. [SM9]
 *
 * A slot is on disk before it is used, and off it before it is given back, so a process that is
 * killed at any moment begins again with what is its own. The file bears the instance key that it
 * belongs to, and a digest: one bit that changed could else be the ports of another host.
 */
import { createHash } from "node:crypto";
import { z } from "zod";
import type { Lease } from "../core/lease-commands.ts";
import { blocksOverlap, isLeasableBlock } from "../core/port-block.ts";
import { readOptional, replaceFileForGood } from "./replace-file.ts";

const lease = z
  .strictObject({ base: z.int(), order: z.int(), epoch: z.int().positive() })
  .refine(isLeasableBlock);
const leases = z
  .array(lease)
  .max(1_008)
  .refine((all) => all.every((one, at) => !all.slice(at + 1).some((other) => blocksOverlap(one, other))));
const contentsSchema = z.strictObject({
  instance: z.string(),
  /** By pool and address. */
  pools: z.record(z.string(), z.record(z.union([z.ipv4(), z.ipv6()]), leases)),
});
type Contents = z.infer<typeof contentsSchema>;
const fileSchema = z.strictObject({ sha256: z.string(), contents: z.string() });

/** What a reader finds of a file that cannot be trusted. */
export class DamagedSlots extends Error {}

/** One file; one writer at a time. */
export class KeptSlots {
  readonly #file: string;
  readonly #instance: string;
  readonly #pools: Map<string, Map<string, readonly Lease[]>>;
  #last: Promise<unknown> = Promise.resolve();

  private constructor(file: string, { instance, pools }: Contents) {
    this.#file = file;
    this.#instance = instance;
    this.#pools = new Map(
      Object.entries(pools).map(([pool, slots]) => [pool, new Map(Object.entries(slots))]),
    );
  }

  /**
   * Reads the file of this instance. There is nothing for it in one that is missing, or of an instance
   * before it. Throws `DamagedSlots` when it cannot be trusted.
   */
  static async open(file: string, instance: string): Promise<KeptSlots> {
    const text = await readOptional(file);
    const contents = text === null ? null : contentsOf(text);
    return new KeptSlots(file, contents?.instance === instance ? contents : { instance, pools: {} });
  }

  /** What is kept of a pool, by address. */
  of(pool: string): ReadonlyMap<string, readonly Lease[]> {
    return new Map(this.#pools.get(pool));
  }

  /** Keeps these of an address, in the place of what was kept; done when that is on disk for good. */
  keep(pool: string, ip: string, wanted: readonly Lease[]): Promise<void> {
    const turn = this.#last.then(() => this.#keep(pool, ip, wanted));
    this.#last = turn.catch(() => {});
    return turn;
  }

  /** Done when nothing is being written any more. */
  async settled(): Promise<void> {
    await this.#last;
  }

  async #keep(pool: string, ip: string, wanted: readonly Lease[]): Promise<void> {
    const slots = new Map(this.#pools.get(pool));
    if (wanted.length > 0) slots.set(ip, wanted);
    else slots.delete(ip);
    const pools = new Map(this.#pools).set(pool, slots);
    if (slots.size === 0) pools.delete(pool);
    await replaceFileForGood(this.#file, textOf(this.#instance, pools));
    // Only what is on disk is known to be kept.
    if (slots.size === 0) this.#pools.delete(pool);
    else this.#pools.set(pool, slots);
  }
}

function textOf(instance: string, pools: ReadonlyMap<string, ReadonlyMap<string, readonly Lease[]>>): string {
  const plain = Object.fromEntries([...pools].map(([pool, slots]) => [pool, Object.fromEntries(slots)]));
  const contents = JSON.stringify({ instance, pools: plain });
  return JSON.stringify({ sha256: digestOf(contents), contents });
}

function contentsOf(text: string): Contents {
  try {
    const { sha256, contents } = fileSchema.parse(JSON.parse(text));
    if (sha256 !== digestOf(contents)) throw new DamagedSlots("its digest is another");
    return contentsSchema.parse(JSON.parse(contents));
  } catch (fault) {
    throw new DamagedSlots("it cannot be read", { cause: fault });
  }
}

function digestOf(contents: string): string {
  return createHash("sha256").update(contents).digest("hex");
}

/**
 * What may leave from which address, on its way into the kernel: one transaction after the other,
 * always with the latest wish. How the kernel is told is not known here.
 */
import { type ClockReading, isEndless, type LeaseTerm, remainingMs } from "../../core/lease-term.ts";
import type { PortBlock } from "../../core/port-block.ts";
import type { Permission } from "./guard-ruleset.ts";

/** A kernel that has a guard; a simulation has its own. */
export interface GuardKernel {
  /** Puts these in the place of what it had of their addresses, all at once. */
  permit(permissions: readonly Permission[]): Promise<void>;
  /** Makes the guard anew with exactly these, all at once. */
  rebuild(permissions: readonly Permission[]): Promise<void>;
  /** Whether packets still come past the guard. */
  isInForce(): Promise<boolean>;
}

interface Wish {
  readonly blocks: readonly PortBlock[];
  readonly term: LeaseTerm | null;
}

const SILENCE: Wish = { blocks: [], term: null };

/** What an earlier life left in the kernel. */
export interface FoundAddress {
  readonly ip: string;
  /** Which units of its blocks are for translation. */
  readonly translated: readonly number[];
}

/** One per guard. */
export class GuardWishes {
  readonly #clock: () => ClockReading;
  readonly #kernel: GuardKernel;
  /** All that the kernel guards, from earlier lives too. */
  readonly #addresses: Set<string>;
  /** Which units of an address are for translation, from earlier lives too. */
  readonly #translated: Map<string, readonly number[]>;
  /** What the kernel was told last, address by address. */
  readonly #told = new Map<string, Wish>();
  #wishes = new Map<string, Wish>();
  #last: Promise<void> = Promise.resolve();
  #next: Promise<void> | null = null;

  constructor(clock: () => ClockReading, kernel: GuardKernel, found: readonly FoundAddress[]) {
    this.#clock = clock;
    this.#kernel = kernel;
    this.#addresses = new Set(found.map(({ ip }) => ip));
    this.#translated = new Map(found.map(({ ip, translated }) => [ip, translated]));
  }

  /** All that the kernel guards. */
  get addresses(): ReadonlySet<string> {
    return this.#addresses;
  }

  /**
   * From now on exactly these blocks may be used with this source address, until the end of
   * the term; nothing at all without a term. If the kernel cannot be told, the promise is
   * broken, what it knew before ends at its time, and the next call tries again.
   */
  allow(ip: string, blocks: readonly PortBlock[], term: LeaseTerm | null): Promise<void> {
    this.#wishes.set(ip, { blocks, term });
    return this.#tell();
  }

  /**
   * From now on exactly these units of the address's blocks are for translation, and no socket's.
   * Before the first `allow` of this life it is only noted: what an earlier one allowed would end.
   */
  async translate(ip: string, units: readonly number[]): Promise<void> {
    this.#translated.set(ip, units);
    const wish = this.#wishes.get(ip) ?? this.#told.get(ip);
    if (wish === undefined) return;
    this.#wishes.set(ip, wish);
    await this.#tell();
  }

  #tell(): Promise<void> {
    if (this.#next === null) {
      const next = this.#last.then(() => this.#flush());
      this.#next = next;
      this.#last = next.catch(() => {});
    }
    return this.#next;
  }

  /** Puts the guard back if it is gone; says whether it was. [GU8] */
  restore(): Promise<boolean> {
    const { promise: done, resolve } = Promise.withResolvers<void>();
    const restored = this.#last.then(() => this.#restore()).finally(resolve);
    this.#last = done;
    return restored;
  }

  /** Done when the kernel has been told what was wished so far, or could not be. */
  async settled(): Promise<void> {
    await this.#last;
  }

  async #restore(): Promise<boolean> {
    if (await this.#kernel.isInForce()) return false;
    await this.#rebuild(new Map());
    return true;
  }

  async #flush(): Promise<void> {
    this.#next = null;
    const wishes = this.#wishes;
    this.#wishes = new Map();
    try {
      await this.#fulfil(wishes);
    } catch (fault) {
      // Newer wishes for the same address are the ones that count.
      this.#wishes = new Map([...wishes, ...this.#wishes]);
      throw fault;
    }
  }

  async #fulfil(wishes: ReadonlyMap<string, Wish>): Promise<void> {
    try {
      await this.#kernel.permit(this.#permissionsOf(wishes));
    } catch {
      // The table may be gone: it is made again, and the result of the second attempt counts. [GU8]
      await this.#rebuild(wishes);
    }
    for (const [ip, wish] of wishes) {
      this.#addresses.add(ip);
      this.#told.set(ip, wish);
    }
  }

  /** Allows nothing for addresses that this run has not named. */
  async #rebuild(wishes: ReadonlyMap<string, Wish>): Promise<void> {
    const silent = [...this.#addresses].map((ip) => [ip, SILENCE] as const);
    await this.#kernel.rebuild(this.#permissionsOf(new Map([...silent, ...this.#told, ...wishes])));
  }

  #permissionsOf(wishes: ReadonlyMap<string, Wish>): Permission[] {
    const now = this.#clock();
    return [...wishes].map(([ip, { blocks, term }]) => ({
      ip,
      blocks,
      translated: this.#translated.get(ip) ?? [],
      remainingMs: term === null ? 0 : remainingMs(term, now),
      wallEndMs: isEndless(term) ? Infinity : (term?.wallEndMs ?? 0),
    }));
  }
}

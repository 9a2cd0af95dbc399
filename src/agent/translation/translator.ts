/**
 * Translates for whoever speaks no proxy: keeps the kernel's part of each address, looks at what the kernel translates,
 * and says so to the parts. [SN3] [SN4]
 */
import type { Logger } from "pino";
import type { PoolPolicy } from "../../core/pool-policy.ts";
import { type Clock, readClock } from "../../process/clock.ts";
import { type CancelTimer, systemTimers, type Timers } from "../../process/timers.ts";
import type { PartCommand, PartReport } from "../division/part-messages.ts";
import type { SnatRule } from "./snat-rule.ts";
import type { TranslationKernel } from "./translation-kernel.ts";
import { TranslatedPart, type TranslatedUse } from "./translated-part.ts";
import { type TrackingUse, trackingUse } from "./tracking-use.ts";

/** A kernel that can be made ready, and made ready again. */
export interface PreparedKernel extends TranslationKernel {
  open(): Promise<void>;
  restore(): Promise<boolean>;
  takePolicy(policy: PoolPolicy): Promise<void>;
  counts(): Promise<ReadonlyMap<string, number>>;
  close(): Promise<void>;
}

/** What it is given. */
export interface TranslatorOptions {
  readonly rules: readonly SnatRule[];
  readonly kernel: PreparedKernel;
  /** Units of an address in which an earlier life of this agent has translated. */
  readonly inherited: (ip: string) => readonly number[];
  readonly log: Logger;
  readonly clock?: Clock;
  readonly timers?: Timers;
}

/** How it stands, for people. */
export interface TranslationStatus {
  readonly names: readonly string[];
  readonly addresses: readonly TranslatedUse[];
  /** By what became of them. */
  readonly packets: Readonly<Record<string, number>>;
  /** Of the kernel's table, which has the flows of others, too. */
  readonly tracking: TrackingUse | null;
}

/** How often it is looked at what the kernel translates, in milliseconds. */
const LOOK_MS = 500;
/** While use is high, or something waits for flows to end. */
const BUSY_LOOK_MS = 100;
/** How often it is looked whether the ruleset is still there. */
const RESTORE_MS = 1_000;
/** A look takes time, with many flows much: so many times longer nothing is looked at, */
const LONGEST_SHARE = 20;
/** and while ports may soon be missing so many times. */
const PRESSED_SHARE = 3;

/** One per agent that translates. */
export class Translator {
  /** Takes the reports of the parts. */
  onReport: ((ip: string, report: PartReport) => void) | null = null;
  /** Is told how long each look at the kernel's flows took, in milliseconds. */
  onLooked: ((tookMs: number) => void) | null = null;
  readonly #options: TranslatorOptions;
  readonly #timers: Timers;
  readonly #clock: Clock;
  readonly #parts = new Map<string, TranslatedPart>();
  #isLooking = false;
  #cancelLook: CancelTimer | null = null;
  #cancelRestore: CancelTimer | null = null;
  #isClosed = false;

  constructor(options: TranslatorOptions) {
    this.#options = options;
    this.#timers = options.timers ?? systemTimers;
    this.#clock = options.clock ?? readClock;
  }

  /** Whether some rule leaves by an address. */
  serves(ip: string): boolean {
    return this.#options.rules.some(({ ips }) => ips.length === 0 || ips.includes(ip));
  }

  /** Units of an address that are the kernel's from before. */
  inherited(ip: string): readonly number[] {
    return this.serves(ip) ? this.#options.inherited(ip) : [];
  }

  /**
   * Makes the kernel ready: from now on nothing of the senders leaves untranslated. Throws what keeps it from that.
   * What other programs undo later is done again.
   */
  async start(): Promise<void> {
    const { kernel, log, rules } = this.#options;
    await kernel.open();
    log.info(
      { senders: rules.map(({ name }) => name) },
      "what these send leaves by leased ports of the pool from now on, or is refused",
    );
    this.#restoreLater();
  }

  /** What the kernel's part of an address may use from now on. */
  command(ip: string, command: PartCommand): void {
    if (this.#isClosed) return;
    this.#partOf(ip).command(command);
    this.#lookIn(0);
  }

  /** New flows are judged by this policy from now on. */
  takePolicy(policy: PoolPolicy): void {
    void this.#options.kernel.takePolicy(policy).catch((fault: unknown) => {
      this.#options.log.error(
        { err: fault },
        "the kernel could not be told the policy; the one before it holds",
      );
    });
  }

  /** For the status of the host. */
  async status(): Promise<TranslationStatus> {
    return {
      names: this.#options.rules.map(({ name }) => name),
      addresses: Array.from(this.#parts.values(), (part) => part.describe()),
      packets: Object.fromEntries(await this.#options.kernel.counts()),
      tracking: await trackingUse(),
    };
  }

  /** Ends when the kernel has been told everything. The ruleset stays: without leases it lets nothing out. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#cancelLook?.();
    this.#cancelRestore?.();
    for (const part of this.#parts.values()) await part.settled();
    for (const part of this.#parts.values()) part.close();
    await this.#options.kernel.close();
  }

  #restoreLater(): void {
    if (this.#isClosed) return;
    this.#cancelRestore = this.#timers.after(RESTORE_MS, () => void this.#restore(), "idle");
  }

  async #restore(): Promise<void> {
    const { kernel, log } = this.#options;
    try {
      if (await kernel.restore()) {
        log.error("another program had taken the translation out of the kernel; it is there again");
      }
    } catch (fault) {
      log.error({ err: fault }, "it cannot be seen whether the translation is still in the kernel");
    }
    this.#restoreLater();
  }

  #partOf(ip: string): TranslatedPart {
    const known = this.#parts.get(ip);
    if (known !== undefined) return known;
    const { kernel, log } = this.#options;
    const part = new TranslatedPart({
      ip,
      kernel,
      inherited: this.inherited(ip),
      // Not from within the command that it follows.
      send: (report) => queueMicrotask(() => this.onReport?.(ip, report)),
      onFault: (fault) =>
        log.error({ ip, err: fault }, "the kernel could not be told what to translate; it is tried again"),
      clock: this.#clock,
      timers: this.#timers,
    });
    this.#parts.set(ip, part);
    return part;
  }

  #lookIn(delayMs: number): void {
    if (this.#isLooking || this.#isClosed) return;
    if (this.#cancelLook !== null && delayMs > 0) return;
    this.#cancelLook?.();
    this.#cancelLook = this.#timers.after(delayMs, () => void this.#look(), "idle");
  }

  async #look(): Promise<void> {
    this.#cancelLook = null;
    this.#isLooking = true;
    const startedMs = this.#clock().monotonicMs;
    const marks = new Map(Array.from(this.#parts, ([ip, part]) => [ip, part.listingMark]));
    try {
      const flows = await this.#options.kernel.flows();
      for (const [ip, mark] of marks) this.#parts.get(ip)?.flowsListed(flows.get(ip) ?? [], mark);
    } catch (fault) {
      this.#options.log.error(
        { err: fault },
        "the kernel's flows cannot be listed: no port of them is given back",
      );
    }
    this.#isLooking = false;
    const tookMs = this.#clock().monotonicMs - startedMs;
    this.onLooked?.(tookMs);
    const parts = [...this.#parts.values()];
    if (parts.every(({ isIdle }) => isIdle)) return;
    const wishMs = parts.some(({ isBusy }) => isBusy) ? BUSY_LOOK_MS : LOOK_MS;
    const share = parts.some(({ isPressed }) => isPressed) ? PRESSED_SHARE : LONGEST_SHARE;
    this.#lookIn(Math.max(wishMs, tookMs * share));
  }
}

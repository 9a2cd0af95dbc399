/**
 * Says in the log that the token of this machine nears its end, in good time and again and again, so that
 * nobody learns of it by what is refused then. One that a join gave is replaced long before. [EL6]
 */
import type { Logger } from "pino";
import type { Role } from "../core/identity.ts";
import { endOfToken, type TokenEnd } from "../wire/token-end.ts";
import { type CancelTimer, systemTimers, type Timers } from "../process/timers.ts";

/** What is watched. */
export interface TokenEndWatchOptions {
  /** The token as it is now. */
  readonly token: () => Promise<string>;
  readonly tokenFile: string;
  readonly role: Role;
  readonly pool: string;
  readonly log: Logger;
  readonly nowMs?: () => number;
  readonly timers?: Timers;
}

const LOOK_MS = 3_600_000;
const SOONEST_LOOK_MS = 1_000;
/** What is left is said again when half of it is gone, but not of less than this. */
const LEAST_LEFT_MS = 60_000;

/** How long something lasts, for people. */
function lastsText(durationMs: number): string {
  const minutes = Math.max(1, Math.round(durationMs / 60_000));
  if (minutes < 120) return `${minutes} min`;
  const hours = Math.round(minutes / 60);
  return hours < 48 ? `${hours} h` : `${Math.round(hours / 24)} days`;
}

/** One for each process; it keeps none alive. */
export class TokenEndWatch {
  readonly #options: TokenEndWatchOptions;
  readonly #nowMs: () => number;
  readonly #timers: Timers;
  #cancel: CancelTimer | null = null;
  #isStopped = false;
  /** Of which token it was said last, and how much was left of it then. */
  #said = { endsAtMs: 0, leftMs: Infinity };

  constructor(options: TokenEndWatchOptions) {
    this.#options = options;
    this.#nowMs = options.nowMs ?? (() => Date.now());
    this.#timers = options.timers ?? systemTimers;
  }

  /** Begins to look, now and then from time to time. */
  start(): void {
    void this.look();
  }

  /** Looks no more. */
  stop(): void {
    this.#isStopped = true;
    this.#cancel?.();
  }

  /** Says it if it is time, and looks again later. */
  async look(): Promise<void> {
    let end: TokenEnd | null = null;
    try {
      end = endOfToken(await this.#options.token());
    } catch {
      // Whoever needs the token says what is wrong with it.
    }
    if (this.#isStopped) return;
    const nextMs = end === null ? LOOK_MS : this.#judge(end, this.#nowMs());
    const delayMs = Math.min(LOOK_MS, Math.max(SOONEST_LOOK_MS, nextMs));
    this.#cancel = this.#timers.after(delayMs, () => void this.look(), "idle");
  }

  /** Answers in which time it is to be looked again. */
  #judge({ endsAtMs, nearFromMs }: TokenEnd, nowMs: number): number {
    const leftMs = endsAtMs - nowMs;
    if (nowMs < nearFromMs) return nearFromMs - nowMs;
    // What has ended is refused, which is said there.
    if (leftMs <= LEAST_LEFT_MS) return LOOK_MS;
    const isAnother = this.#said.endsAtMs !== endsAtMs;
    if (isAnother || leftMs <= this.#said.leftMs / 2) {
      this.#said = { endsAtMs, leftMs };
      this.#say(endsAtMs, leftMs);
    }
    return leftMs - this.#said.leftMs / 2;
  }

  #say(endsAtMs: number, leftMs: number): void {
    const { tokenFile, role, pool, log } = this.#options;
    const endsAt = new Date(endsAtMs).toISOString();
    const making = `npx ipshard token --role ${role} --name NAME --pool ${pool}`;
    log.warn(
      { code: "token-ending", endsAt },
      `The token in ${tokenFile} ends in ${lastsText(leftMs)}, at ${endsAt}: put another there, ` +
        `made with ${making}. It is read again by itself.`,
    );
  }
}

/**
 * Replaces the token that this machine had by a join, in good time before it ends. Whoever uses it reads the
 * file anew at each connection. [TK10]
 */
import { decodeJwt } from "jose";
import type { Logger } from "pino";
import { ask } from "./join.ts";
import { replaceFileForGood } from "./replace-file.ts";
import { readSmallFile } from "../process/small-file.ts";

/** What is renewed where. */
export interface RenewalOptions {
  readonly edge: URL;
  readonly tokenFile: string;
  readonly log: Logger;
  /** How often it is looked whether it is time. */
  readonly lookMs?: number;
}

const LOOK_MS = 3_600_000;
/** The part of its life that a token may have left before it is replaced. */
const RENEW_BELOW = 2 / 3;

/** Keeps one token alive, and no process. */
export class TokenRenewal {
  readonly #options: RenewalOptions;
  #timer: NodeJS.Timeout | null = null;
  #isStopped = false;

  constructor(options: RenewalOptions) {
    this.#options = options;
  }

  /** Begins to look, now and then from time to time. */
  start(): void {
    void this.#look();
  }

  /** Looks no more. */
  stop(): void {
    this.#isStopped = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
  }

  async #look(): Promise<void> {
    const { log, lookMs = LOOK_MS } = this.#options;
    try {
      await this.#renewIfDue();
    } catch (fault) {
      log.warn({ err: fault }, "the token of this machine could not be replaced; it is tried again");
    }
    if (this.#isStopped) return;
    // Machines that were started at the same moment do not go on asking at the same moments.
    this.#timer = setTimeout(() => void this.#look(), lookMs * (0.75 + Math.random() / 2));
    this.#timer.unref();
  }

  async #renewIfDue(): Promise<void> {
    const { edge, tokenFile, log } = this.#options;
    const token = (await readSmallFile(tokenFile)).trim();
    const { exp = 0, iat = 0 } = decodeJwt(token);
    if (exp - Date.now() / 1_000 >= (exp - iat) * RENEW_BELOW) return;
    const answer = await ask(edge, "/v1/renewals", token, {});
    if (!answer.ok) {
      log.warn({ code: answer.code }, `the token of this machine is not replaced: ${answer.why}`);
      return;
    }
    await replaceFileForGood(tokenFile, answer.joined.token);
    log.info("the token of this machine was replaced");
  }
}

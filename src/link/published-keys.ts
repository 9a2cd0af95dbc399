/**
 * The edge's public keys, by which this host verifies tokens itself.
 *
 * The last set that was seen is kept on disk, so that a host which starts while the edge is
 * away still serves whoever has a token. A token with an unknown key is a reason to ask the
 * edge again, though not often: anybody can make such a token up. [EL4]
 */
import type { Logger } from "pino";
import { z } from "zod";
import type { Identity, IdentityRefusal } from "../core/identity.ts";
import type { Outcome } from "../core/outcome.ts";
import { type KeySet, kindOf } from "../wire/keys.ts";
import { kidOf, TokenVerifier } from "../wire/tokens.ts";
import { BackOff } from "../process/back-off.ts";

/** Where keys come from and go to. */
export interface PublishedKeysOptions {
  readonly edge: URL;
  /** What was kept of an earlier run. */
  readonly kept: KeySet | null;
  readonly keep: (keys: KeySet) => void;
  readonly log: Logger;
  /** Least time between two questions that strange tokens cause. */
  readonly strangerIntervalMs?: number;
}

const REFRESH_MS = 300_000;
const FETCH_TIMEOUT_MS = 5_000;

const publicKey = z.looseObject({ kty: z.string(), kid: z.string().min(1) });
const keySetSchema = z.object({ keys: z.array(publicKey).max(64) });

/** Reads a key set; null for anything else. Keys that are not ours are left out. */
export function parseKeySet(value: unknown): KeySet | null {
  const parsed = keySetSchema.safeParse(value);
  if (!parsed.success) return null;
  return { keys: parsed.data.keys.filter(({ kid }) => kindOf(kid) !== null) };
}

/** A verifier that keeps its keys fresh. */
export class PublishedKeys extends TokenVerifier {
  readonly #options: PublishedKeysOptions;
  readonly #backOff = new BackOff({ firstMs: 200, longestMs: 10_000 }, Math.random);
  #current: string;
  #kids: ReadonlySet<string | undefined>;
  #timer: NodeJS.Timeout | null = null;
  #fetching: Promise<boolean> | null = null;
  #strangerAtMs = -Infinity;
  #isStopped = false;

  constructor(options: PublishedKeysOptions) {
    const kept = options.kept ?? { keys: [] };
    super(kept);
    this.#options = options;
    this.#current = JSON.stringify(kept);
    this.#kids = kidsOf(kept);
  }

  /** Begins to ask for keys, now and then every five minutes. */
  start(): void {
    void this.#refreshAndWait();
  }

  /** Asks no more. */
  stop(): void {
    this.#isStopped = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
  }

  override async verify(token: string, nowMs: number): Promise<Outcome<Identity, IdentityRefusal>> {
    if (this.#isSignedByStranger(token)) await this.#askForStranger();
    return super.verify(token, nowMs);
  }

  #isSignedByStranger(token: string): boolean {
    const kid = kidOf(token);
    return kid !== null && kindOf(kid) !== null && !this.#kids.has(kid);
  }

  async #askForStranger(): Promise<void> {
    const nowMs = performance.now();
    if (this.#fetching === null) {
      if (nowMs - this.#strangerAtMs < (this.#options.strangerIntervalMs ?? 10_000)) return;
      this.#strangerAtMs = nowMs;
    }
    await this.#refresh();
  }

  async #refreshAndWait(): Promise<void> {
    const isFresh = await this.#refresh();
    if (this.#isStopped) return;
    if (isFresh) this.#backOff.succeed();
    this.#timer = setTimeout(
      () => {
        void this.#refreshAndWait();
      },
      isFresh ? REFRESH_MS : this.#backOff.fail(),
    );
    this.#timer.unref();
  }

  #refresh(): Promise<boolean> {
    this.#fetching ??= this.#fetch().finally(() => {
      this.#fetching = null;
    });
    return this.#fetching;
  }

  async #fetch(): Promise<boolean> {
    const { edge, log } = this.#options;
    try {
      const response = await fetch(new URL("/.well-known/jwks.json", edge), {
        signal: AbortSignal.timeout(FETCH_TIMEOUT_MS),
        redirect: "error",
      });
      const keys = response.ok ? parseKeySet(await response.json()) : null;
      if (keys === null) {
        await response.body?.cancel();
        log.warn({ status: response.status }, "the edge gave no key set");
        return false;
      }
      this.#take(keys);
      return true;
    } catch (fault) {
      log.debug({ fault: String(fault) }, "the edge's keys could not be fetched");
      return false;
    }
  }

  #take(keys: KeySet): void {
    const text = JSON.stringify(keys);
    // The same keys again would only make the verifier forget whom it knows.
    if (text === this.#current) return;
    this.#current = text;
    this.#kids = kidsOf(keys);
    this.trust(keys);
    this.#options.keep(keys);
    this.#options.log.info({ kids: [...this.#kids] }, "trusting the edge's keys");
  }
}

function kidsOf({ keys }: KeySet): ReadonlySet<string | undefined> {
  return new Set(keys.map(({ kid }) => kid));
}

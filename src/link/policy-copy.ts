/**
 * This host's copy of its pool's policy, by which it decides who may send what.
 *
 * The pool only tells which version it has; a host whose copy is another fetches it, keeps it on disk,
 * and goes on with the one that it has until then. A version that is lower than that of the copy is
 * that of an edge which was restored from a backup: it could permit what was forbidden since, so the copy
 * stays until there is a later one. [PY3] [PY6] [PY8]
 */
import type { Logger } from "pino";
import { DEFAULT_POOL_POLICY, type PoolPolicy } from "../core/pool-policy.ts";
import { BackOff } from "../process/back-off.ts";
import { parsePoolPolicy } from "../wire/pool-policy-schema.ts";

/** Where policies come from and go to. */
export interface PolicyCopyOptions {
  readonly edge: URL;
  readonly pool: string;
  /** The host's own, asked for at each fetch. */
  readonly token: () => Promise<string>;
  /** What was kept of an earlier run; null for nothing. */
  readonly kept: PoolPolicy | null;
  readonly keep: (policy: PoolPolicy) => void;
  /** Decides by this from now on. */
  readonly use: (policy: PoolPolicy) => void;
  readonly log: Logger;
  /** Over so long the hosts of a pool spread their questions after one change. */
  readonly spreadMs?: number;
  readonly random?: () => number;
}

const FETCH_TIMEOUT_MS = 10_000;
/** Short beside the time within which a change must hold, and long enough for the first to have fetched it. */
const SPREAD_MS = 250;
/** More than the largest policy has with all of its revoked tokens. */
const MOST_BYTES = 4 * 1024 * 1024;

/** From its making until `stop`. */
export class PolicyCopy {
  readonly #options: PolicyCopyOptions;
  readonly #backOff: BackOff;
  #policy: PoolPolicy | null;
  /** As the pool said last; null before it said anything. */
  #wanted: number | null = null;
  #isFetching = false;
  #timer: NodeJS.Timeout | null = null;
  #warning = "";
  #isStopped = false;

  constructor(options: PolicyCopyOptions) {
    this.#options = options;
    const { random = Math.random } = options;
    this.#backOff = new BackOff({ firstMs: 200, longestMs: 10_000 }, random);
    this.#policy = options.kept;
    if (options.kept !== null) options.use(options.kept);
  }

  /** Of the copy that is in use; null for none. */
  get version(): number | null {
    return this.#policy?.version ?? null;
  }

  /** The pool says which version it has; an older one says none, and has no policy. */
  told(version = 0): void {
    this.#wanted = version;
    const own = this.version;
    if (own !== null && version < own) return this.#warnOfOlder(version, own);
    this.#warning = "";
    if (own === version) return;
    if (version === 0) return this.#take(DEFAULT_POOL_POLICY);
    const { spreadMs = SPREAD_MS, random = Math.random } = this.#options;
    this.#fetchIn(random() * spreadMs);
  }

  /** Asks no more. */
  stop(): void {
    this.#isStopped = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
  }

  get #isBehind(): boolean {
    return this.#wanted !== null && (this.version ?? -1) < this.#wanted;
  }

  #fetchIn(delayMs: number): void {
    if (this.#isFetching || this.#timer !== null || this.#isStopped) return;
    this.#timer = setTimeout(() => {
      this.#timer = null;
      void this.#fetchAndGoOn();
    }, delayMs);
    this.#timer.unref();
  }

  async #fetchAndGoOn(): Promise<void> {
    this.#isFetching = true;
    const failure = await this.#fetch(this.#wanted ?? 0);
    this.#isFetching = false;
    if (this.#isStopped) return;
    if (failure === null) {
      this.#backOff.succeed();
      this.#warning = "";
      // It may have changed once more meanwhile.
      if (this.#isBehind) this.#fetchIn(0);
      return;
    }
    this.#warn("policy-unread", `the pool's policy could not be fetched: ${failure}`);
    this.#fetchIn(this.#backOff.fail());
  }

  /** Takes the policy in this version or a later one; answers what was wrong, null for nothing. */
  async #fetch(version: number): Promise<string | null> {
    const { edge, pool, token } = this.#options;
    try {
      const url = new URL(`/v1/pools/${encodeURIComponent(pool)}/policy?version=${version}`, edge);
      const response = await fetch(url, {
        headers: { authorization: `Bearer ${await token()}` },
        signal: AbortSignal.timeout(FETCH_TIMEOUT_MS),
        redirect: "error",
      });
      const text = await textOf(response);
      if (!response.ok) return `the edge answered ${response.status}`;
      const policy = text === null ? null : parsePoolPolicy(JSON.parse(text));
      if (policy === null) return "what came is none that this version can read";
      if (policy.version < version) return `the edge gave version ${policy.version} instead of ${version}`;
      if (this.#isStopped || policy.version <= (this.version ?? -1)) return null;
      this.#take(policy);
      return null;
    } catch (fault) {
      return fault instanceof Error ? fault.message : String(fault);
    }
  }

  #take(policy: PoolPolicy): void {
    const { use, keep, log, pool } = this.#options;
    this.#policy = policy;
    // Before it is on disk: whoever may not send any more shall not wait for that.
    use(policy);
    keep(policy);
    log.info({ pool, version: policy.version }, "deciding by a policy of the pool");
  }

  #warnOfOlder(version: number, own: number): void {
    const words =
      `the edge has version ${version} of the pool's policy, which is older than ${own}, this host's: ` +
      "it was restored from a backup. The host keeps its own until the policy is changed once more";
    this.#warn("policy-older", words);
  }

  /** Once, until something changes. */
  #warn(code: string, words: string): void {
    if (words === this.#warning) return;
    this.#warning = words;
    this.#options.log.error({ code, pool: this.#options.pool }, words);
  }
}

/** Null when it is too long. */
async function textOf(response: Response): Promise<string | null> {
  const pieces: Uint8Array[] = [];
  let size = 0;
  for await (const piece of response.body ?? []) {
    size += piece.length;
    if (size > MOST_BYTES) return null;
    pieces.push(piece);
  }
  return Buffer.concat(pieces).toString("utf8");
}

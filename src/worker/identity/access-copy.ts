/**
 * The isolate's copy of what the register of tokens says: which tokens were revoked, which keys count.
 * So no request asks the register [LAW9], and losing it stops no request [LAW8].
 *
 * A copy is fresh, then it still serves while one request renews it behind its response, then the next
 * request waits for the renewal. So what was revoked is good for no more than `USABLE_MS`, as long as the
 * register answers. When it does not, the copy serves on until the end of its lifetime. Without any copy
 * nobody is let in. [TK4]
 */
import { REGISTER_NAME } from "../../../durable-objects/bindings.ts";
import type { AccessState } from "../../wire/access-state.ts";
import { askControlPlane } from "../runtime/control-plane.ts";
import type { Background, Environment } from "../runtime/environment.ts";

/** Age up to which the copy is used without asking. */
export const FRESH_MS = 3_000;
/** Age up to which a request does not wait for the renewal. */
export const USABLE_MS = 7_000;
/** Age up to which a copy serves while the register is lost: as long as placements do. */
export const LIFETIME_MS = 600_000;
/** While one request renews the copy, the others take it as it is for so long. */
const RENEWAL_MS = 500;
/** How long a failed renewal is not repeated. */
const PAUSE_AFTER_FAILURE_MS = 2_000;

/** One per isolate. */
export class AccessCopy {
  #state: AccessState | null = null;
  /** When what is held was asked for, and when the register was asked last. */
  #asOfMs = -Infinity;
  #askedAtMs = -Infinity;
  #pausedUntilMs = -Infinity;
  /** Rises when something was changed here; what was asked for before is no answer to that. */
  #changeCount = 0;
  #isDoubted = false;

  /** What is known; null before anything is. */
  get state(): AccessState | null {
    return this.#state;
  }

  /** Sees to it that there is a copy to judge by; a promise only when it must be waited for. */
  ensure(env: Environment, background: Background): Promise<boolean> | boolean {
    const nowMs = Date.now();
    // After the clock was set back nothing is known of the age.
    if (nowMs < this.#asOfMs) {
      this.forget();
      this.#asOfMs = -Infinity;
    }
    const ageMs = nowMs - this.#asOfMs;
    if (ageMs < FRESH_MS && !this.#isDoubted) return true;
    const isAsked = !this.#isDoubted && nowMs - this.#askedAtMs < RENEWAL_MS;
    if (ageMs < LIFETIME_MS && (nowMs < this.#pausedUntilMs || isAsked)) return true;
    const renewal = this.#renew(env, nowMs);
    if (ageMs >= USABLE_MS || this.#isDoubted) return renewal;
    background.waitUntil(renewal);
    return true;
  }

  /** Asks again for something that the copy may not know yet, though not often. */
  async reconsider(env: Environment): Promise<void> {
    const nowMs = Date.now();
    if (nowMs - this.#askedAtMs >= RENEWAL_MS) await this.#renew(env, nowMs);
  }

  /** What is known is out of date from now on: the next request waits, and goes by it only if the register is lost. */
  forget(): void {
    this.#changeCount += 1;
    this.#isDoubted = true;
    this.#askedAtMs = -Infinity;
    this.#pausedUntilMs = -Infinity;
  }

  /** Whether there is a copy that may be used now. */
  async #renew(env: Environment, nowMs: number): Promise<boolean> {
    this.#askedAtMs = nowMs;
    const known = this.#state?.version ?? null;
    const changeCount = this.#changeCount;
    const answer = await askControlPlane(async () => registerStub(env).access(known));
    if (!answer.ok) {
      this.#pausedUntilMs = Date.now() + PAUSE_AFTER_FAILURE_MS;
      return this.#state !== null && Date.now() - this.#asOfMs < LIFETIME_MS;
    }
    // Two renewals may cross: what was asked later is the better answer.
    if (nowMs < this.#asOfMs) return true;
    this.#asOfMs = nowMs;
    this.#pausedUntilMs = -Infinity;
    if (changeCount === this.#changeCount) this.#isDoubted = false;
    if (answer.value !== null && answer.value.version !== this.#state?.version) this.#state = answer.value;
    return true;
  }
}

/** The register's object. */
export function registerStub(env: Environment): ReturnType<Environment["ACCESS_REGISTER"]["getByName"]> {
  return env.ACCESS_REGISTER.getByName(REGISTER_NAME);
}

/** That of this isolate. */
export const accessCopy = new AccessCopy();

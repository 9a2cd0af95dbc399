/**
 * Names to addresses, by c-ares and not by `getaddrinfo`, whose four threads one slow name
 * server can fill. Answers are kept for their time to live, refusals for a moment, and one
 * question is asked once however many wait for it. [RS1] [RS2]
 *
 * A name without an address of the family that is asked for is asked for the other one, so that
 * "wrong family" and "no such name" are told apart. [RS4]
 */
import { Resolver as CaresResolver } from "node:dns/promises";
import { ok, type Outcome, refuse } from "../../core/outcome.ts";
import { EgressFault, problemOf } from "./faults.ts";
import { monotonicMs } from "../../process/clock.ts";

/** IPv4 or IPv6. */
export type Family = 4 | 6;

/** Both of them. */
export const FAMILIES: readonly Family[] = [4, 6];

/** What a resolver can be told. */
export interface ResolverOptions {
  /** Name servers as `address:port`; those of the system by default. */
  readonly servers?: readonly string[];
  /** How long one try waits for an answer; there are two. */
  readonly timeoutMs?: number;
  /** Names remembered at once; beyond it the oldest is forgotten. */
  readonly maxNames?: number;
  /** Monotonic time in milliseconds. */
  readonly now?: () => number;
}

interface Answer {
  readonly addresses: readonly string[];
  readonly fault: EgressFault | null;
  readonly endsAtMs: number;
  /** The name may exist, yet there is no address: the other family may have one. */
  readonly mayHaveOther: boolean;
}

const TRIES = 2;
/** Nobody needs more, and each is judged before one is dialled. [RS6] */
const MAX_ADDRESSES = 256;
/** A time to live of zero would ask again for every connection. */
const MIN_TTL_MS = 1_000;
const MAX_TTL_MS = 300_000;
/** How long a name that does not resolve is not asked for again. */
const NEGATIVE_TTL_MS = 2_000;
const LOOPBACK: Readonly<Record<Family, readonly string[]>> = { 4: ["127.0.0.1"], 6: ["::1"] };

/** Resolves names and remembers the answers. */
export class Resolver {
  readonly #cares: CaresResolver;
  readonly #maxNames: number;
  readonly #now: () => number;
  readonly #answers = new Map<string, Answer>();
  readonly #asked = new Map<string, Promise<Answer>>();

  constructor(options: ResolverOptions = {}) {
    this.#cares = new CaresResolver({ timeout: options.timeoutMs ?? 2_000, tries: TRIES });
    if (options.servers !== undefined && options.servers.length > 0) this.#cares.setServers(options.servers);
    this.#maxNames = options.maxNames ?? 10_000;
    this.#now = options.now ?? monotonicMs;
  }

  /**
   * All addresses of a name in this family, or, if it has none, all of the other family; throws
   * `dns-error` or `dns-timeout`.
   */
  async resolve(name: string, family: Family): Promise<readonly string[]> {
    const canonical = canonicalName(name);
    if (isLoopback(canonical)) return LOOPBACK[family];
    const answer = await this.#answer(canonical, family);
    if (answer.fault === null) return answer.addresses;
    if (answer.mayHaveOther) {
      const other = await this.#answer(canonical, family === 4 ? 6 : 4);
      if (other.fault === null) return other.addresses;
    }
    throw answer.fault;
  }

  /** What `resolve` would give or throw, where that is remembered; null where it would have to ask. */
  remembered(name: string, family: Family): Outcome<readonly string[], EgressFault> | null {
    const canonical = canonicalName(name);
    if (isLoopback(canonical)) return ok(LOOPBACK[family]);
    const answer = this.#known(`${family} ${canonical}`);
    if (answer === null || answer.fault === null) return answer && ok(answer.addresses);
    if (!answer.mayHaveOther) return refuse(answer.fault);
    const other = this.#known(`${family === 4 ? 6 : 4} ${canonical}`);
    return other && (other.fault === null ? ok(other.addresses) : refuse(answer.fault));
  }

  /** Of which families a name has addresses, at once when that is known; never throws. */
  familiesOf(name: string): readonly Family[] | Promise<readonly Family[]> {
    const canonical = canonicalName(name);
    if (isLoopback(canonical)) return FAMILIES;
    const four = this.#answer(canonical, 4);
    const six = this.#answer(canonical, 6);
    if (!(four instanceof Promise) && !(six instanceof Promise)) return familiesIn([four, six]);
    return Promise.all([four, six]).then(familiesIn);
  }

  /** Gives up all questions that are still open. */
  close(): void {
    this.#cares.cancel();
  }

  #answer(name: string, family: Family): Answer | Promise<Answer> {
    const key = `${family} ${name}`;
    return this.#known(key) ?? this.#ask(key, name, family);
  }

  #known(key: string): Answer | null {
    const known = this.#answers.get(key);
    return known !== undefined && this.#now() < known.endsAtMs ? known : null;
  }

  #ask(key: string, name: string, family: Family): Promise<Answer> {
    let asked = this.#asked.get(key);
    if (asked === undefined) {
      asked = this.#query(name, family).then((answer) => {
        this.#asked.delete(key);
        this.#remember(key, answer);
        return answer;
      });
      this.#asked.set(key, asked);
    }
    return asked;
  }

  async #query(name: string, family: Family): Promise<Answer> {
    try {
      const records =
        family === 4
          ? await this.#cares.resolve4(name, { ttl: true })
          : await this.#cares.resolve6(name, { ttl: true });
      if (records.length > MAX_ADDRESSES) {
        const detail = `The answer has ${records.length} addresses, more than ${MAX_ADDRESSES}.`;
        return this.#failure(new EgressFault("dns-error", detail), false);
      }
      const ttlMs = Math.min(...records.map((record) => record.ttl)) * 1000;
      const keptMs = Math.min(MAX_TTL_MS, Math.max(MIN_TTL_MS, ttlMs));
      const addresses = records.map((record) => record.address);
      if (addresses.length === 0) return this.#failure(new EgressFault("dns-error", "ENODATA"), true);
      return { addresses, fault: null, endsAtMs: this.#now() + keptMs, mayHaveOther: false };
    } catch (fault) {
      const { code } = fault as { readonly code?: string };
      // Here ECONNREFUSED is a name server's port that nobody listens on.
      const isSilent = code === "ECONNREFUSED" || problemOf(fault).code === "dns-timeout";
      // RFC 8020: a name that does not exist has nothing of any type. Whatever else is said, or
      // not said, may be of this type alone: name servers are known for it (RFC 4074 section 4).
      // After `close` nothing more is asked.
      const mayHaveOther = code !== "ENOTFOUND" && code !== "EBADNAME" && code !== "ECANCELLED";
      return this.#failure(
        new EgressFault(isSilent ? "dns-timeout" : "dns-error", code, fault),
        mayHaveOther,
      );
    }
  }

  #failure(fault: EgressFault, mayHaveOther: boolean): Answer {
    // A timeout says nothing about the name: the next question asks again at once.
    const keptMs = fault.code === "dns-timeout" ? 0 : NEGATIVE_TTL_MS;
    return { addresses: [], fault, endsAtMs: this.#now() + keptMs, mayHaveOther };
  }

  #remember(key: string, answer: Answer): void {
    this.#answers.delete(key);
    if (this.#answers.size >= this.#maxNames) this.#answers.delete(this.#answers.keys().next().value!);
    this.#answers.set(key, answer);
  }
}

function familiesIn(answers: readonly Answer[]): readonly Family[] {
  return FAMILIES.filter((_family, at) => answers[at]!.fault === null);
}

/** A name without the dot of the root: with and without it is the same name. */
function canonicalName(name: string): string {
  return name.endsWith(".") ? name.slice(0, -1) : name;
}

/** RFC 6761 section 6.3: never to be asked of a name server. [RS3] */
function isLoopback(canonical: string): boolean {
  return canonical === "localhost" || canonical.endsWith(".localhost");
}

/**
 * What lists in the mode `report` would have refused: counted by whose list it was, and logged at most once in a
 * while for each of them, so that a busy tenant fills no disk. [DE12]
 */
import type { AskedPlace, PolicyReport } from "../../policy/destination-policy.ts";

/** Told of a report that is to be logged, and how many of its kind there were since the last one. */
export type OnPolicyReport = (fields: Readonly<Record<string, unknown>>) => void;

const LOG_EVERY_MS = 60_000;
/** Kinds that are told apart; all others together are one more. */
const MAX_KINDS = 1_024;
const OTHERS = "others";

interface Kind {
  count: number;
  unloggedCount: number;
  loggedAtMs: number;
}

/** Those of one process. */
export class PolicyReports {
  readonly #onReport: OnPolicyReport;
  readonly #now: () => number;
  /** By tenant, and by list and entry. */
  readonly #kinds = new Map<string, Map<string, Kind>>();
  #kindCount = 0;

  /** `now` is monotonic time in milliseconds. */
  constructor(onReport: OnPolicyReport, now: () => number) {
    this.#onReport = onReport;
    this.#now = now;
  }

  /** A list of this tenant, or of its pool, would have refused something. */
  note(tenant: string, report: PolicyReport, { name, port }: AskedPlace): void {
    const rule = report.entry === null ? `${report.owner}: allow` : `${report.owner}: deny ${report.entry}`;
    const kind = this.#kind(tenant, rule);
    kind.count += 1;
    kind.unloggedCount += 1;
    const nowMs = this.#now();
    if (nowMs - kind.loggedAtMs < LOG_EVERY_MS) return;
    const { code, reason } = report.refusal;
    this.#onReport({ tenant, code, reason, name, port, count: kind.unloggedCount });
    kind.unloggedCount = 0;
    kind.loggedAtMs = nowMs;
  }

  /** For the status: how often, by tenant, and by list and entry. */
  describe(): Readonly<Record<string, Readonly<Record<string, number>>>> {
    return Object.fromEntries(
      Array.from(this.#kinds, ([tenant, rules]) => [
        tenant,
        Object.fromEntries(Array.from(rules, ([rule, { count }]) => [rule, count])),
      ]),
    );
  }

  #kind(tenant: string, rule: string): Kind {
    const known = this.#kinds.get(tenant)?.get(rule);
    if (known !== undefined) return known;
    if (this.#kindCount >= MAX_KINDS && tenant !== OTHERS) return this.#kind(OTHERS, OTHERS);
    const kind: Kind = { count: 0, unloggedCount: 0, loggedAtMs: -Infinity };
    const rules = this.#kinds.get(tenant) ?? new Map<string, Kind>();
    this.#kinds.set(tenant, rules.set(rule, kind));
    this.#kindCount += 1;
    return kind;
  }
}

/**
 * Bugs that the simulator has to find, each a patch of one source. Whoever changes such a line
 * mends the patch: what it replaces must be there exactly once.
 *
 * A bug behind a second line of defence is not here, for nothing comes of it: see README.md.
 */

import assert from "node:assert/strict";
import { BUGS_OF_TRANSLATION } from "./planted-translation-bugs.ts";

/** One bug. */
export interface PlantedBug {
  readonly name: string;
  /** What may come of it; nothing else counts as a catch. */
  readonly laws: readonly string[];
  /** Faults that bring it to light; nothing if it soon comes to light by itself. */
  readonly shownBy?: readonly string[];
  /** It matters only where the edge is restored from older copies. */
  readonly isOfRestores?: true;
  /** From the root of the repository. */
  readonly file: string;
  readonly from: string;
  readonly to: string;
}

const TABLE = "src/core/lease-table.ts";
const COMMANDS = "src/core/lease-commands.ts";
const CHOICE = "src/core/block-choice.ts";
const RECOVERY = "src/core/recovery.ts";
const TIME = "src/core/time-passing.ts";
const TERM = "src/core/lease-term.ts";
const INDEX = "src/core/table-index.ts";
const ALLOCATOR = "src/core/buddy-allocator.ts";
const ACKNOWLEDGEMENT = "src/core/acknowledgement.ts";
const STORE = "durable-objects/address/lease-store.ts";
const ADDRESS = "durable-objects/address/address-service.ts";
const ADDRESS_TABLE = "durable-objects/address/address-table.ts";
const PUBLISHER = "durable-objects/address/address-publisher.ts";
const SESSIONS = "durable-objects/address/lease-sessions.ts";
const POOL_VIEW = "durable-objects/pool/pool-view.ts";
const ROUTER_WAIT = "durable-objects/steering/router-wait.ts";
const ASSIGNMENT = "src/core/address-assignment.ts";
const MEMBER = "src/agent/leasing/pool-member.ts";
const KEEPER = "src/agent/leasing/lease-keeper.ts";
const COUNTED_TERM = "src/agent/leasing/counted-term.ts";
const GUARDED = "src/agent/machine/guarded-ports.ts";
const GRANTS = "src/agent/division/unit-grants.ts";
const PART = "src/agent/division/part-ports.ts";
const DIVIDED = "src/agent/division/divided-ports.ts";
const ROUTER = "src/router/feed/steering-progress.ts";
const CACHE = "src/worker/hosts/placement-cache.ts";
const GUARD = "test/simulation/guard-kernel.ts";

/** The text with the bug in it. The list must not rot: what is replaced has to be there, once. */
export function withBug({ name, file, from, to }: PlantedBug, text: string): string {
  const parts = text.split(from);
  const count = parts.length - 1;
  assert.equal(count, 1, `${name} cannot be planted: ${file} has what it replaces ${count} times`);
  return parts.join(to);
}

/** All of them. */
export const PLANTED_BUGS: readonly PlantedBug[] = [
  {
    name: "no-quarantine-after-release",
    laws: ["law 6", "law 1"],
    file: COMMANDS,
    from: "const freeAtMs = nowMs + table.settings.quarantineMs;",
    to: "const freeAtMs = nowMs;",
  },
  {
    name: "no-quarantine-after-expiry",
    laws: ["law 6", "law 1"],
    file: TIME,
    from: "const freeAtMs = endedAtMs + table.settings.quarantineMs;",
    to: "const freeAtMs = endedAtMs;",
  },
  {
    name: "quarantine-from-the-grant",
    laws: ["law 6", "law 1"],
    file: TIME,
    from: "const freeAtMs = endedAtMs + table.settings.quarantineMs;",
    to: "const freeAtMs = row.grantedAtMs + table.settings.quarantineMs;",
  },
  {
    name: "quarantine-ends-the-wrong-way-round",
    laws: ["law 6", "law 1"],
    file: TIME,
    from: "if (nowMs < row.freeAtMs!) break;",
    to: "if (nowMs > row.freeAtMs!) break;",
  },
  {
    name: "lease-ends-the-wrong-way-round",
    laws: ["law 6", "law 1", "calm"],
    file: TIME,
    from: "if (nowMs >= holder.expiresAtMs) over",
    to: "if (nowMs <= holder.expiresAtMs) over",
  },
  {
    name: "lease-ends-a-second-early",
    laws: ["law 6", "law 4", "law 3", "law 1"],
    file: TIME,
    from: "if (nowMs >= holder.expiresAtMs) over",
    to: "if (nowMs >= holder.expiresAtMs - 1_000) over",
  },
  {
    name: "lease-never-ends",
    laws: ["calm"],
    file: TIME,
    from: "if (over.size > 0 && !isStatic(table.settings)) endLeasesOf",
    to: "if (over.size > 99) endLeasesOf",
  },
  {
    name: "leap-believed-in-full",
    laws: ["law 6", "law 1"],
    shownBy: ["set-object-clock"],
    file: TIME,
    from: "Math.max(0, gapMs - longestMs)",
    to: "0",
  },
  {
    name: "leap-back-ignored",
    laws: ["calm"],
    file: TIME,
    from: "Math.min(0, gapMs + longestMs)",
    to: "0",
  },
  {
    name: "lease-shrinks",
    laws: ["law 6", "law 4", "law 3", "law 1"],
    shownBy: ["configure"],
    file: COMMANDS,
    from: "return Math.max(holder.expiresAtMs, expiresAtMs);",
    to: "return expiresAtMs;",
  },
  {
    name: "lease-longer-than-kept",
    laws: ["law 6", "law 3", "law 1"],
    file: SESSIONS,
    from: `      leaseDurationMs,
      granted,`,
    to: `      leaseDurationMs: leaseDurationMs === null ? null : leaseDurationMs * 1.5,
      granted,`,
  },
  {
    name: "grant-in-memory-only",
    laws: ["law 5", "law 1"],
    file: STORE,
    from: 'if (event.type === "granted") this.#insertLease(event.row, this.#resumedBy(event.row, events[at - 1]));',
    to: 'if (event.type === "granted") void at;',
  },
  {
    name: "renewal-in-memory-only",
    laws: ["law 6", "law 4", "law 1"],
    shownBy: ["crash-object", "evict-object"],
    file: STORE,
    from: `sql.exec("UPDATE holder SET expires_at_ms = ? WHERE host = ?", event.expiresAtMs, event.host);`,
    to: "",
  },
  {
    name: "renewals-together-in-memory-only",
    laws: ["law 6", "law 4", "law 1"],
    shownBy: ["crash-object", "evict-object"],
    file: STORE,
    from: `    if (renewed.length > 1) this.#renewTogether(renewed);
`,
    to: "",
  },
  {
    name: "end-in-memory-only",
    laws: ["bug"],
    file: STORE,
    from: `ended_at_ms = ?, free_at_ms = ? WHERE epoch = ?",`,
    to: `ended_at_ms = ?, free_at_ms = ? WHERE epoch = -?",`,
  },
  {
    name: "answered-before-written",
    laws: ["law 5", "law 1"],
    shownBy: ["lose-turn", "crash-object"],
    file: ADDRESS_TABLE,
    from: `      this.#store.append(made.flatMap(({ events }) => events));
`,
    to: `      const late = made.flatMap(({ events }) => events);
      void this.#platform.wait(1).then(() => this.#store.append(late)).catch(() => {});
`,
  },
  {
    name: "epochs-begin-anew",
    laws: ["law 5", "bug", "calm"],
    file: STORE,
    from: `      table.lastEpoch = Math.max(table.lastEpoch, lease.epoch);
`,
    to: "",
  },
  {
    name: "epochs-of-the-past-forgotten",
    laws: ["law 5", "calm"],
    file: STORE,
    from: `      table.lastEpoch = Math.max(table.lastEpoch, numberOf(row, "epoch"));
`,
    to: "",
  },
  {
    name: "twin-accepted",
    laws: ["law 5", "law 1", "law 6", "law 3"],
    shownBy: ["twin"],
    file: COMMANDS,
    from: "present && present.instance !== instance && leasesOf(table, host).length > 0",
    to: "present && present.instance !== instance && leasesOf(table, host).length > 999",
  },
  {
    name: "quarantined-block-to-another-instance",
    laws: ["law 6", "law 1"],
    file: INDEX,
    from: " && row.instance === instance;",
    to: ";",
  },
  {
    name: "quarantined-block-to-another-host",
    laws: ["law 6", "law 1"],
    file: CHOICE,
    from: `for (const row of rowsOf(table, holder.host)) {
    if (isOwnQuarantined(row, holder) && `,
    to: `for (const row of table.rows.values()) {
    if (row.state === "quarantined" && `,
  },
  {
    name: "half-taken-block-counts-as-free",
    laws: ["blocks"],
    file: ALLOCATOR,
    from: "const takenHere = taken[nodeOf(base, order)]!;",
    to: "const takenHere = taken[nodeOf(base, Math.max(MIN_ORDER, order - 1))]!;",
  },
  {
    name: "alarm-set-once",
    laws: ["calm"],
    file: ADDRESS,
    from: `    this.#table.alarmIs(null);
    const address`,
    to: "    const address",
  },
  {
    name: "alarm-frees-what-rests",
    laws: ["law 6", "law 1"],
    file: ADDRESS,
    from: `this.#table.execute(address, { type: "tick" });
    this.#table.prune(`,
    to: `const { rows } = address.table;
    for (const row of rows.values()) if (row.freeAtMs !== null) Object.assign(row, { freeAtMs: 0 });
    this.#table.execute(address, { type: "tick" });
    this.#table.prune(`,
  },
  {
    name: "time-counts-from-the-answer",
    laws: ["law 3", "law 6", "law 1"],
    shownBy: ["bad-weather", "slow-disk"],
    file: COUNTED_TERM,
    from: "termFrom(sentAt, leaseDurationMs)",
    to: "termFrom(now, leaseDurationMs)",
  },
  {
    name: "time-counts-from-the-repetition",
    laws: ["law 3", "law 6", "law 1"],
    shownBy: ["bad-weather", "cut-way"],
    file: KEEPER,
    from: `      this.#options.send(this.#outstanding.request);
      return;`,
    to: `      this.#outstanding = { ...this.#outstanding, sentAt: this.#options.clock() };
      this.#options.send(this.#outstanding.request);
      return;`,
  },
  {
    name: "margin-the-wrong-way-round",
    laws: ["law 3", "law 6", "law 1"],
    shownBy: ["pause-host", "suspend-host"],
    file: TERM,
    from: "leaseDurationMs * (1 - TERM_MARGIN)",
    to: "leaseDurationMs * (1 + TERM_MARGIN)",
  },
  {
    name: "no-wall-clock",
    laws: ["law 3", "law 6", "law 1"],
    file: TERM,
    from: "wallEndMs: sentAt.wallMs + usableMs }",
    to: "wallEndMs: sentAt.wallMs + 1e9 }",
  },
  {
    name: "guard-without-wall-clock",
    laws: ["law 3", "law 6", "law 1"],
    file: GUARD,
    from: "wallEndMs: Math.floor(wallEndMs / 1000) * 1000,",
    to: "wallEndMs: wallEndMs + 1e9,",
  },
  {
    name: "guard-without-monotonic-clock",
    laws: ["law 3", "law 6", "law 1"],
    shownBy: ["set-wall-clock"],
    file: GUARD,
    from: "monotonicEndMs: this.machine.monotonicMs() + timeoutMs,",
    to: "monotonicEndMs: this.machine.monotonicMs() + 1e9,",
  },
  {
    name: "guard-not-told-of-removal",
    laws: ["law 6", "law 3", "law 2", "law 1", "calm"],
    file: GUARDED,
    from: "    return added.length + gone.length > 0;",
    to: `    for (const { epoch } of gone) this.#removed.delete(epoch);
    return added.length > 0;`,
  },
  {
    name: "guard-not-awaited-on-release",
    laws: ["law 6", "law 3", "law 2", "law 1"],
    file: GUARDED,
    from: "const lingering = [...this.#report.lingering, ...this.#removed.keys()];",
    to: "const lingering = [...this.#report.lingering];",
  },
  {
    name: "guard-ignored-on-adding",
    laws: ["guard"],
    file: GUARDED,
    from: "      this.#awaited.set(epoch, this.#wishCount + 1);",
    to: "",
  },
  {
    name: "removed-block-let-out-under-a-newer-term",
    laws: ["law 6", "law 3", "law 2", "law 1", "calm", "guard"],
    file: GUARDED,
    from: "if (!isDeepStrictEqual(term, this.#wanted.term)) continue;",
    to: "",
  },
  {
    name: "address-given-too-few-hosts",
    laws: ["calm"],
    file: ASSIGNMENT,
    from: "if (address.isDrained || address.liveCount >= this.#rules.leastHosts) return;",
    to: "if (address.isDrained || address.liveCount >= 1) return;",
  },
  {
    name: "replaced-address-never-left",
    laws: ["calm"],
    file: ASSIGNMENT,
    from: "const isReady = host.isDrained || host.isSettled;",
    to: "const isReady = host.isDrained;",
  },
  {
    name: "moved-address-cut-at-a-deadline",
    laws: ["law 7"],
    file: MEMBER,
    from: "return this.#retiring === null || this.#retiring.includes(ip);",
    to: "return true;",
  },
  {
    name: "host-told-before-routers",
    laws: ["law 4"],
    file: COMMANDS,
    from: `    .filter((row) => row.steered)
`,
    to: "",
  },
  {
    name: "grant-counts-as-steered",
    laws: ["law 4"],
    file: COMMANDS,
    from: "steered: !table.isSteered,",
    to: "steered: true,",
  },
  {
    name: "publication-covers-later-grants",
    laws: ["law 4"],
    file: COMMANDS,
    from: "if (!row.steered && row.epoch <= lastEpoch)",
    to: "if (!row.steered && lastEpoch >= 0)",
  },
  {
    name: "withdrawal-not-published",
    laws: ["calm", "steering", "law 4"],
    file: TABLE,
    from: `endedAtMs, freeAtMs });
      noteSteeringChange(table);`,
    to: "endedAtMs, freeAtMs });",
  },
  {
    name: "steering-version-in-memory-only",
    laws: ["law 4", "calm"],
    file: STORE,
    from: `      if (changesSteering(event)) this.#sql.exec(COUNT_STEERING_CHANGE);
`,
    to: "",
  },
  {
    name: "publication-given-up",
    laws: ["calm"],
    file: PUBLISHER,
    from: `  publishSoon(address: StoredAddress): void {
`,
    to: `  publishSoon(address: StoredAddress): void {
    if (this.#failureCount > 0) return;
`,
  },
  {
    name: "acknowledgement-not-awaited",
    laws: ["law 4"],
    shownBy: ["trouble-steering"],
    file: ROUTER_WAIT,
    from: "if (laggards.length === 0) return [];",
    to: "if (laggards.length >= 0) return [];",
  },
  {
    name: "acknowledgement-one-too-low",
    laws: ["law 4"],
    file: ACKNOWLEDGEMENT,
    from: "acknowledged !== null && acknowledged >= sequence",
    to: "acknowledged !== null && acknowledged >= sequence - 1",
  },
  {
    name: "acknowledged-before-the-kernel-follows",
    laws: ["law 4"],
    shownBy: ["trouble-steering"],
    file: ROUTER,
    from: `    const actions = this.#take(change);
    return [...actions, ...this.#proceed()];`,
    to: `    const actions = this.#take(change);
    return [...actions, { type: "acknowledge", sequence: change.sequence }, ...this.#proceed()];`,
  },
  {
    name: "failed-step-forgotten",
    laws: ["law 4", "calm"],
    file: ROUTER,
    from: `  failed(): void {
    this.#coming = null;
    this.#mustRepair = true;`,
    to: "  failed(): void {",
  },
  {
    name: "withdrawal-ignored-by-routers",
    laws: ["calm", "steering"],
    file: ROUTER,
    from: "if (held !== undefined && held.epoch <= epoch) this.#delete(held);",
    to: "if (held !== undefined && held.epoch < epoch) this.#delete(held);",
  },
  {
    name: "dead-hosts-placed",
    laws: ["calm"],
    file: POOL_VIEW,
    from: "return live.get(host) === instance;",
    to: "return live !== null && host !== instance;",
  },
  {
    name: "placement-never-renewed",
    laws: ["calm"],
    file: CACHE,
    from: "if (nowMs < copy.freshUntilMs) return copy.found;",
    to: "if (nowMs < copy.endsAtMs) return copy.found;",
  },
  {
    name: "losing-the-edge-ends-the-leases",
    laws: ["law 7", "law 8"],
    file: KEEPER,
    from: `  disconnected(): void {
    this.#handle(() => {`,
    to: `  disconnected(): void {
    this.#handle(() => {
      this.#lapse();`,
  },
  {
    name: "losing-the-edge-stops-new-flows",
    laws: ["law 8"],
    file: KEEPER,
    from: `  disconnected(): void {
    this.#handle(() => {`,
    to: `  disconnected(): void {
    this.#handle(() => {
      this.#holdings.drainAll();`,
  },
  {
    name: "joining-anew-cuts-flows",
    laws: ["law 7"],
    file: KEEPER,
    from: `    if (request.type === "join") this.#isJoined = true;
`,
    to: `    if (request.type === "join") {
      this.#isJoined = true;
      for (const { epoch } of leases) this.#holdings.forget(epoch);
    }
`,
  },
  {
    name: "losing-the-pool-loses-the-copy",
    laws: ["law 8"],
    file: CACHE,
    from: "    if (nowMs >= copy.endsAtMs) {",
    to: "    if (nowMs >= copy.staleUntilMs) {",
  },
  {
    name: "unit-in-two-processes",
    laws: ["parts"],
    file: GRANTS,
    from: "    this.#byUnit.set(unit, grant);\n",
    to: "",
  },
  {
    name: "unit-used-after-it-was-taken-back",
    laws: ["parts"],
    shownBy: ["pause-host"],
    file: PART,
    from: "if (!grants.has(lease.epoch)) ports.removeBlock(lease.epoch);",
    to: "if (!grants.has(lease.epoch)) ports.resumeBlock(lease.epoch);",
  },
  {
    name: "term-not-passed-on",
    laws: ["law 7", "law 8"],
    file: DIVIDED,
    from: "      term,\n      units",
    to: "      term: before.term ?? term,\n      units",
  },
  {
    name: "lent-port-used-by-its-lender",
    laws: ["parts"],
    shownBy: ["burst"],
    file: "src/agent/division/lent-ports.ts",
    from: "ports.push(port);",
    to: "ports.push(port);\n      this.#ports.giveBackApart(destination, port, false);",
  },
  ...BUGS_OF_TRANSLATION,
  {
    name: "placement-asked-for-per-request",
    laws: ["law 9"],
    file: CACHE,
    from: "if (nowMs < copy.freshUntilMs) return copy.found;",
    to: "",
  },
  {
    name: "restored-epochs-go-on-from-the-copy",
    laws: ["law 5", "law 1"],
    isOfRestores: true,
    file: RECOVERY,
    from: "lastEpoch: Math.max(table.lastEpoch, atMs)",
    to: "lastEpoch: table.lastEpoch",
  },
  {
    name: "restored-copy-grants",
    laws: ["law 1", "law 3", "law 6", "blocks"],
    isOfRestores: true,
    file: COMMANDS,
    from: 'if (table.recovery !== null) return refuse("address-recovering");',
    to: "",
  },
  {
    name: "restored-copy-believes-itself",
    laws: ["law 1", "law 3", "law 4", "law 5"],
    isOfRestores: true,
    file: RECOVERY,
    from: "if (present?.isUnheard === true) return true;",
    to: "",
  },
  {
    name: "restored-clock-behind-the-copy",
    laws: ["calm"],
    isOfRestores: true,
    file: RECOVERY,
    from: "isUnused(table) ? 0 : Math.min(",
    to: "isUnused(table) ? 0 : 0 * Math.min(",
  },
  {
    name: "restored-wait-never-ends",
    laws: ["calm"],
    isOfRestores: true,
    file: TIME,
    from: 'if (nowMs >= (table.recovery?.untilMs ?? Infinity)) record({ type: "recovered" });',
    to: "",
  },
];

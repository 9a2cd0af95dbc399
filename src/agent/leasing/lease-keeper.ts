/**
 * Keeps this host's leases on one egress address: takes them up, renews them, lets them grow
 * and shrink, and stops in time.
 *
 * It is a state machine without I/O: clocks, chance, a timer and ways to send are arguments,
 * and everything that happens comes in as a call. Each call first asks whether the term is
 * over, even if the process was paused; then it handles the event; then it settles what should be
 * held, what to ask next, and when to look again. The ports of the address are told by commands,
 * and what the keeper knows of them is in their last report. [LK1] [LK2] [LK13]
 */
import type { Lease } from "../../core/lease-commands.ts";
import type { ClockReading } from "../../core/lease-term.ts";
import { type LeaseReply, type LeaseRequest } from "../../core/messages.ts";
import type { LeaseSettings } from "../../core/pool-settings.ts";
import type { Room } from "../../core/share.ts";
import { isStatic } from "../../core/static-slots.ts";
import type { PortReport } from "../egress/port-messages.ts";
import { BackOff } from "../../process/back-off.ts";
import { answers, type Outstanding } from "./answer-match.ts";
import { CommandedPorts } from "./commanded-ports.ts";
import { CountedTerm } from "./counted-term.ts";
import { GrowthAttempts } from "./growth-attempts.ts";
import {
  beyondShare,
  type Holdings,
  isAtRest,
  isSpareTooLarge,
  needsSpare,
  orderWanted,
  pressureCount,
  toGiveBack,
} from "./growth-policy.ts";
import {
  DEFAULT_TIMING,
  HURRY_MS,
  type KeeperOptions,
  type KeeperTiming,
  LONGEST_SLEEP_MS,
  type RefusalCode,
  repeatAfterMs,
  settingsAtStart,
} from "./keeper-options.ts";
import { KeeperDrain } from "./keeper-drain.ts";
import { LeaseHoldings } from "./lease-holdings.ts";
import { Opening } from "./opening.ts";
import { RequestIds, type Unnamed } from "./request-ids.ts";
import { RestWatch } from "./rest-watch.ts";
import { UseTrend } from "./use-trend.ts";

/** One per egress address of a host. */
export class LeaseKeeper {
  readonly #options: KeeperOptions;
  readonly #timing: KeeperTiming;
  readonly #ports: CommandedPorts;
  readonly #holdings: LeaseHoldings;
  readonly #requestIds: RequestIds;
  readonly #opening: Opening;
  readonly #growth: GrowthAttempts;
  readonly #pauseBackOff: BackOff;
  #isHandling = false;
  #isConnected = false;
  #isJoined = false;
  #outstanding: Outstanding | null = null;
  readonly #term: CountedTerm;
  #settings: LeaseSettings;
  /** As the last answer told. */
  #room: Room | null = null;
  readonly #trend = new UseTrend();
  #highestEpoch: number;
  /** When to renew because the settings have changed. */
  #hurryAtMs: number | null = null;
  #pausedUntilMs = 0;
  readonly #rest: RestWatch;
  readonly #drain: KeeperDrain;
  #isDrained = false;

  constructor(options: KeeperOptions) {
    const { ports, random, renewalPhase, slots = [] } = options;
    this.#options = options;
    this.#ports = new CommandedPorts(ports, (report) => this.#reported(report));
    this.#timing = { ...DEFAULT_TIMING, ...options.timing };
    this.#rest = new RestWatch(this.#timing.restMs);
    this.#drain = new KeeperDrain(this.#timing.farewellMs);
    this.#term = new CountedTerm(slots.length > 0, renewalPhase);
    this.#settings = settingsAtStart(slots);
    this.#holdings = new LeaseHoldings(options.unitsInUse);
    this.#holdings.reconcile(slots, () => true);
    this.#highestEpoch = Math.max(options.highestEpoch, ...slots.map(({ epoch }) => epoch));
    this.#requestIds = new RequestIds(random);
    this.#opening = new Opening(options.instance);
    this.#growth = new GrowthAttempts(random);
    this.#pauseBackOff = new BackOff({ firstMs: 100, longestMs: 5_000 }, random);
  }

  /** Connected to the edge; answers to earlier requests count no longer. [LK3] */
  connected(): void {
    this.#handle(() => {
      this.#isConnected = true;
      this.#isJoined = false;
      this.#outstanding = null;
      this.#pausedUntilMs = 0;
    });
  }

  /** Disconnected from the edge. What is held stays until the term ends. [LAW8] */
  disconnected(): void {
    this.#handle(() => {
      this.#isConnected = false;
      this.#isJoined = false;
      this.#outstanding = null;
    });
  }

  /** The edge knows of no slot of this host. What ends with time goes on until then. [SM10] */
  disown(): void {
    this.#handle(() => {
      if (this.#term.isEndless) this.#lapse("disowned");
    });
  }

  /** The edge has answered something. */
  message(reply: LeaseReply): void {
    this.#handle((now) => {
      if (reply.type === "changed") {
        // Whatever is on its way was perhaps answered before; its answer must not put the renewal off. [LK12]
        this.#hurryAtMs ??= now.monotonicMs + HURRY_MS * this.#options.random();
        return;
      }
      const outstanding = this.#outstanding;
      if (outstanding === null || !answers(reply, outstanding.request)) return;
      this.#outstanding = null;
      if (reply.type === "refused") this.#refused(outstanding.request, reply.code, now);
      else this.#answered(outstanding, reply, now);
    });
  }

  /** The time asked for has come. */
  tick(): void {
    this.#handle(() => {});
  }

  /**
   * Takes no new flows, releases every block once its flows have ended, and at the deadline
   * (milliseconds from now) resets the rest. `drained` tells the end. Static slots may be kept: then
   * they are out of use, and not released. [LK9] [SM9]
   */
  drain(deadlineMs: number, keepsSlots = false): void {
    this.#handle((now) => {
      this.#drain.begin(now.monotonicMs + deadlineMs, keepsSlots);
      this.#holdings.drainAll();
    });
  }

  /**
   * Takes a drain back whose deadline has not come: blocks with flows are used again at once, and
   * whatever is missing is asked for. False if it is too late. [LK11]
   */
  resume(): boolean {
    let isResumed = false;
    this.#handle(({ monotonicMs }) => {
      if (!this.#drain.takeBack(monotonicMs)) return;
      // Growth may have been refused because the address was to go.
      this.#growth.beginAnew();
      this.#holdings.resumeAll();
      isResumed = true;
    });
    return isResumed;
  }

  /** Ports that this host could have of the address, as far as it knows; more may come or go. [AS8] */
  get portLimit(): number {
    const { heldPortCount } = this.view();
    if (this.#growth.isExhausted) return heldPortCount;
    return Math.min(this.#settings.maxPortsPerHost, heldPortCount + (this.#room?.portCount ?? Infinity));
  }

  #handle(what: (now: ClockReading) => void, isReported = false): void {
    if (this.#isDrained) return;
    this.#isHandling = true;
    try {
      // Asked for a report by each call but a report, so that what is decided now goes by the newest.
      if (!isReported) this.#ports.ask();
      const now = this.#options.clock();
      if (this.#term.isOver(now)) this.#lapse();
      what(now);
      this.#settle(now);
    } finally {
      this.#isHandling = false;
    }
  }

  /** It comes with every flow when use is high: most change nothing. */
  #reported(report: PortReport): void {
    if (this.#isHandling || !this.#holdings.isMovedBy(report, this.#outstanding === null)) return;
    this.#handle(() => {}, true);
  }

  /** Tells the ports what has changed for them. Growth that was announced goes on unless the end is told. */
  #tellPorts(isGrowing = this.#ports.areGrowing): void {
    const content = {
      term: this.#term.value,
      blocks: this.#holdings.blocks(),
      isGrowing,
      pressureCount: pressureCount(this.view()),
    };
    this.#ports.tell(content, (number) => this.#holdings.noteTold(number));
  }

  /** What it holds, and how much of that is in use. */
  view(): Holdings {
    const { busiestCount } = this.#ports;
    return this.#holdings.view({ busiestCount, growthPerSecond: this.#trend.perSecond, room: this.#room });
  }

  /** Stops sending before the edge can give the blocks away. [LAW2] [LAW3] [LK2] */
  #lapse(type: "lapsed" | "disowned" = "lapsed"): void {
    this.#term.end();
    this.#holdings.forgetAll();
    // At once: what is taken up next may be the same blocks, and their flows are over.
    this.#tellPorts();
    this.#options.onEvent({ type });
  }

  #answered(
    { request, sentAt }: Outstanding,
    reply: LeaseReply & { type: "answer" },
    now: ClockReading,
  ): void {
    const { leases, granted } = reply;
    this.#settings = reply.settings;
    this.#room = reply.room ?? null;
    if (reply.room !== undefined && request.type !== "acquire") this.#growth.heardOf(reply.room.portCount);
    this.#pauseBackOff.succeed();
    if (request.type === "join") this.#isJoined = true;
    if (request.type === "release") this.#released(request.epoch);
    this.#term.answered(reply, sentAt, now);
    if (this.#term.value === null) return;
    const isOutdated =
      granted !== null && !this.#holdings.has(granted.epoch) && granted.epoch <= this.#highestEpoch;
    if (granted !== null && isOutdated) {
      const { epoch } = granted;
      this.#options.onEvent({ type: "epoch-outdated", epoch, highestEpoch: this.#highestEpoch });
      this.#growth.failed(null, now.monotonicMs);
    } else if (granted !== null) {
      this.#growth.granted();
    }
    const isWanted = ({ epoch }: Lease): boolean =>
      !this.#drain.isOn && !(isOutdated && epoch === granted?.epoch);
    const { adopted, lost } = this.#holdings.reconcile(leases, isWanted);
    // Whoever hears of it next finds the ports as they are from now on.
    this.#tellPorts();
    if (adopted.length > 0) this.#options.onEvent({ type: "adopted", leases: adopted });
    if (lost.length > 0) this.#options.onEvent({ type: "lost", leases: lost });
    this.#noteEpochs(leases);
  }

  #noteEpochs(leases: readonly Lease[]): void {
    const epoch = Math.max(this.#highestEpoch, ...leases.map((lease) => lease.epoch));
    if (epoch === this.#highestEpoch) return;
    this.#highestEpoch = epoch;
    this.#options.onEvent({ type: "epoch-seen", epoch });
  }

  #refused(request: LeaseRequest, code: RefusalCode, { monotonicMs: nowMs }: ClockReading): void {
    // A block that is not held under its epoch needs no release.
    if (request.type === "release" && code === "stale-epoch") return this.#released(request.epoch);
    if (this.#opening.asksFor(code)) return;
    this.#options.onEvent({ type: "refused", request: request.type, code });
    if (request.type === "join" || code === "stale-session") {
      this.#isJoined = false;
      this.#pausedUntilMs = nowMs + this.#pauseBackOff.fail();
    } else if (request.type === "acquire") {
      this.#growth.failed(code, nowMs);
    } else {
      // A peer of this protocol refuses nothing else: do not repeat the request.
      this.#pausedUntilMs = nowMs + this.#pauseBackOff.fail();
    }
  }

  #released(epoch: number): void {
    this.#holdings.forget(epoch);
    this.#options.onEvent({ type: "released", epoch });
  }

  #settle(now: ClockReading): void {
    const { monotonicMs } = now;
    this.#tellPorts();
    this.#holdings.retire(this.#ports.report, this.#drain.isDue(monotonicMs));
    if (!this.#drain.isOn) this.#adjust(monotonicMs);
    if (this.#drain.isOn && this.#isDone(monotonicMs)) return this.#finish();
    // First what is taken from them: a block is released once they report that.
    this.#tellPorts();
    this.#ask(monotonicMs);
    this.#tellPorts(this.#isGrowing());
    this.#options.wakeIn(this.#sleepMs(now));
  }

  /** Gives back what is too much, brings the spare into play, ends a long rest. [LK6] [LK7] [LK10] */
  #adjust(nowMs: number): void {
    if (this.#term.value === null) return;
    // First, since a spare is given back sooner than a block in use.
    const { flowCount } = this.#ports;
    for (const { epoch } of beyondShare(this.view(), this.#settings, flowCount)) this.#holdings.drain(epoch);
    this.#tellPorts();
    // How busy the ports were with other blocks says nothing of these.
    if (!this.#ports.isReportCurrent) return;
    this.#trend.note(this.#ports.busiestCount, nowMs);
    if (needsSpare(this.view())) this.#holdings.activateSpare();
    else if (isSpareTooLarge(this.view())) {
      this.#holdings.drain(this.view().spare!.epoch);
      this.#growth.gaveBack(nowMs);
    }
    if (!this.#rest.isOver(this.view(), this.#settings, nowMs)) return;
    // All that it can spare: were it one block for each rest, a host that had many would take hours.
    for (let view = this.view(); isAtRest(view, this.#settings); view = this.view()) {
      this.#holdings.drain(toGiveBack(view, this.#settings)!.epoch);
    }
  }

  /** Sends the next request, or the present one once more. One at a time. [LK5] */
  #ask(nowMs: number): void {
    if (!this.#isConnected) return;
    if (this.#outstanding !== null) {
      if (nowMs < this.#outstanding.repeatAtMs) return;
      // Under the same id: had only the answer been lost, the edge gives the same block again.
      this.#outstanding.repeatAtMs = nowMs + repeatAfterMs(this.#timing, this.#settings);
      this.#options.send(this.#outstanding.request);
      return;
    }
    // Read anew, since this must be from before the sending and as late as that allows.
    const sentAt = this.#options.clock();
    const wish = this.#chooseRequest(sentAt);
    if (wish === null) return;
    const request = this.#requestIds.named(wish);
    if (request.type !== "release") this.#hurryAtMs = null;
    this.#outstanding = { request, sentAt, repeatAtMs: nowMs + repeatAfterMs(this.#timing, this.#settings) };
    this.#options.send(request);
  }

  #chooseRequest(now: ClockReading): Unnamed | null {
    const nowMs = now.monotonicMs;
    if (nowMs < this.#pausedUntilMs) return null;
    // Without a term it is not known what is still held, nor whether the edge remembers us.
    if (!this.#isJoined || this.#term.value === null) {
      return this.#opening.request(this.#holdings, this.#term, now);
    }
    const isRenewalDue = nowMs >= Math.min(this.#term.renewAtMs, this.#hurryAtMs ?? Infinity);
    const order = this.#orderToAsk();
    // A grant renews as well, so growth may go first.
    if (order !== null && this.#growth.mayAsk(this.view(), nowMs)) return { type: "acquire", order };
    if (isRenewalDue && !this.#holdings.isOnlyLeaving()) return { type: "renew" };
    const leaving = this.#areSlotsKept() ? null : this.#holdings.leaving(this.#ports.report);
    if (leaving !== null) return { type: "release", base: leaving.base, epoch: leaving.epoch };
    return isRenewalDue ? { type: "renew" } : null;
  }

  #orderToAsk(): number | null {
    const mayGrow = this.#options.mayGrow?.() ?? true;
    return !this.#drain.isOn && mayGrow ? orderWanted(this.view(), this.#settings) : null;
  }

  /** Flows without a port wait while a spare or an answer may still bring one. [LK8] */
  #isGrowing(): boolean {
    if (this.#drain.isOn || this.#term.value === null) return false;
    return this.#outstanding?.request.type === "acquire" || this.#holdings.hasSpare;
  }

  #isDone(nowMs: number): boolean {
    if (!this.#holdings.isOnlyLeaving()) return false;
    if (this.#areSlotsKept()) return true;
    // A slot that is not given back would be nobody's for good.
    if (isStatic(this.#settings) && !this.#holdings.isEmpty) return false;
    // Without the edge nothing can be released: the leases end by themselves.
    if (this.#drain.isFarewellOver(nowMs) || !this.#isConnected) return true;
    // An answer on its way may still bring a block that should be given back.
    return this.#isJoined && this.#holdings.isEmpty && this.#outstanding === null;
  }

  #areSlotsKept(): boolean {
    return this.#drain.keepsSlots && isStatic(this.#settings);
  }

  #finish(): void {
    this.#isDrained = true;
    this.#term.end();
    this.#holdings.forgetAll();
    this.#tellPorts(false);
    this.#options.onEvent({ type: "drained" });
  }

  #sleepMs(now: ClockReading): number {
    const nowMs = now.monotonicMs;
    const wishes = [nowMs + this.#term.leftMs(now), ...this.#drain.wakeAtMs];
    const next = [this.#pausedUntilMs, this.#term.renewAtMs, this.#growth.atMs, this.#hurryAtMs];
    if (this.#isConnected)
      wishes.push(...(this.#outstanding === null ? next : [this.#outstanding.repeatAtMs]));
    const ahead = wishes.filter((atMs) => atMs !== null && atMs > nowMs) as number[];
    return Math.min(LONGEST_SLEEP_MS, ...ahead.map((atMs) => atMs - nowMs));
  }
}

/**
 * One run: hosts, routers and the edge under the troubles of one seed, then a calm in which all
 * must be well again. Two runs of one seed do the same, bit for bit.
 */
import type { PoolService } from "../../durable-objects/pool/pool-service.ts";
import { AddressClocks, LONGEST_LEASE_MS } from "./address-clocks.ts";
import { Attention } from "./attention.ts";
import { Chance } from "./chance.ts";
import { areContainersWaiting, checkCalm } from "./calm-checks.ts";
import { BALLAST, Edge, POOL } from "./edge.ts";
import { callObject } from "./object-calls.ts";
import { FAULTS, Nemesis } from "./faults.ts";
import type { History, Sighting, Unseen } from "./history.ts";
import { type Break, FlowChecks } from "./flow-checks.ts";
import { Host, type OpenFlow, type TranslationWatcher } from "./host.ts";
import { LawChecks, Violation } from "./law-checks.ts";
import { Machine } from "./machine.ts";
import { FAIR_WEATHER, Network } from "./network.ts";
import { PoolDisk } from "./pool-disk.ts";
import { SimulatedRouter } from "./router.ts";
import { RunHash } from "./run-hash.ts";
import { drawScenario, drawTranslators, inStaticPool, type Scenario } from "./scenario.ts";
import { areSlotsKnown } from "./slot-knowledge.ts";
import { Settling } from "./settling.ts";
import { Timeline } from "./timeline.ts";
import { TranslationChecks } from "./translation-checks.ts";
import type { Transition } from "./transitions.ts";
import { Wiretap } from "./wiretap.ts";
import { SimulatedWorker } from "./worker.ts";

/** What a run came to. */
export interface RunReport {
  readonly seed: number;
  readonly hash: string;
  readonly eventCount: number;
  /** Simulated time. */
  readonly lastedMs: number;
  /** Null: every law held. */
  readonly violation: Error | null;
  /** What was seen to happen, by kind: a run in which nothing happened proves nothing. */
  readonly counts: ReadonlyMap<string, number>;
  readonly history: History;
  /** The longest time that a host's kernel took to be told what may leave. */
  readonly tellingMs: number;
}

/** How a run is watched. */
export interface RunOptions {
  /** Gets a line for everything that is said or done. */
  readonly trace?: (line: string) => void;
  /** Runs the seed in a static pool. */
  readonly isStatic?: boolean;
  /** The edge is restored from older copies now and then. */
  readonly areRestored?: boolean;
}

const EDGE_URL = new URL("http://edge.example");
/** More happen at one time only to what asks for itself again and again. */
const MOST_IN_ONE_INSTANT = 10_000;
/** After the last fault, beside a lease and its quarantine: connections are given up, made anew, tables sent. */
const CALM_SLACK_MS = 130_000;
/** Until the flows of a unit that a data process is to let go of have ended. */
const LONGEST_YIELDING_MS = 20_000;

/** From `run` until it resolves, once. */
export class Run {
  readonly #seed: number;
  readonly #options: RunOptions;
  readonly #chance: Chance;
  readonly #timeline = new Timeline();
  readonly #settling = new Settling();
  readonly #network: Network;
  readonly #scenario: Scenario;
  readonly #edge: Edge;
  readonly #poolDisk: PoolDisk;
  readonly #hosts: Host[] = [];
  readonly #routers: SimulatedRouter[] = [];
  readonly #worker: SimulatedWorker;
  readonly #wiretap: Wiretap;
  readonly #nemesis: Nemesis;
  readonly #laws: LawChecks;
  readonly #flows = new FlowChecks(
    () => this.#timeline.nowMs,
    (host, ip, block) => this.#checked(() => this.#translations.released(host, ip, block)),
  );
  readonly #translations = new TranslationChecks({
    flows: this.#flows,
    wasOthers: (ip, port, instance, sinceMs) => this.#laws.wasOthers(ip, port, instance, sinceMs),
    nowMs: () => this.#timeline.nowMs,
  });
  readonly #attention: Attention;
  readonly #clocks: AddressClocks;
  readonly #hash = new RunHash();
  readonly #history: Sighting[] = [];
  readonly #counts = new Map<string, number>();
  readonly #takenVersions = new Map<string, number>();
  #violation: Error | null = null;

  constructor(seed: number, options: RunOptions = {}) {
    this.#seed = seed;
    this.#options = options;
    this.#chance = new Chance(seed);
    const drawn = drawScenario(this.#chance, Object.keys(FAULTS));
    const scenario = { ...drawn, translators: drawTranslators(seed) };
    this.#scenario = options.isStatic === true ? inStaticPool(scenario) : scenario;
    this.#network = new Network(this.#timeline, this.#chance, FAIR_WEATHER);
    const { ips, hostCount, routerCount, settings, badWeather } = this.#scenario;
    this.#attention = new Attention(this.#network, badWeather);
    this.#clocks = new AddressClocks(this.#timeline, settings.quarantineMs, (ip, byMs, believedMs) => {
      this.#meet(`clock of an address: set ${byMs > 0 ? "forward" : "back"}`);
      if (byMs > 0) this.#flows.leapt(ip);
      this.#see({ type: "clock-set", ip, byMs: believedMs });
    });
    this.#edge = new Edge(this.#network, this.#chance, ips, {
      lagged: (ip, publication, laggards) => {
        this.#noteTaken(ip, publication.version, laggards.length);
        this.#laws.lagged(ip, publication, laggards);
      },
      applied: (ip, publication) => this.#laws.applied(ip, publication),
      written: (ip) => this.#checked(() => this.#laws.table(ip)),
    });
    this.#poolDisk = new PoolDisk(this.#edge.pool.database);
    this.#makeMachines(hostCount, routerCount);
    this.#wiretap = new Wiretap({
      record: (who, direction, text) => {
        this.#hash.add(text);
        this.#trace(`${who} ${direction} ${text}`);
      },
      flows: this.#flows,
      see: (sighting) => this.#see(sighting),
      told: (ip, blocks, host) => this.#checked(() => this.#laws.told(ip, blocks, host)),
      meet: this.#meet,
      count: (what) => this.#count(what),
    });
    this.#worker = new SimulatedWorker(this.#edge, this.#network, this.#chance, this.#hosts, {
      count: (what) => this.#count(what),
      violated: (violation) => {
        this.#violation ??= violation;
      },
    });
    this.#nemesis = new Nemesis({
      network: this.#network,
      chance: this.#chance,
      scenario: this.#scenario,
      edge: this.#edge,
      hosts: this.#hosts,
      routers: this.#routers,
      poolClockSet: () => this.#attention.forgetRouters(),
      mayLeap: (ip, byMs) => this.#clocks.mayLeap(ip, byMs),
      count: (what) => {
        this.#count(`fault: ${what}`);
        this.#trace(`fault: ${what}`);
      },
    });
    this.#laws = new LawChecks(
      {
        nowMs: () => this.#timeline.nowMs,
        edge: this.#edge,
        hosts: this.#hosts,
        routers: this.#routers,
        quarantineMs: () => this.#scenario.settings.quarantineMs,
        believedLeapsMs: (ip, sinceMs) => this.#clocks.believedLeapsMs(ip, sinceMs),
        isListening: (router, sinceMs) => this.#attention.isListening(router, sinceMs),
        isAttentive: (router) => this.#attention.isAttentive(router),
        meet: this.#meet,
      },
      ips,
    );
    this.#network.onCareless = (what) => this.#meet(`message: ${what}`);
  }

  /** Lets about this many things happen with faults, then as many as the calm needs. */
  async run(eventCount: number): Promise<RunReport> {
    try {
      await this.#begin();
      await this.#stepWhile(() => this.#timeline.happenedCount < eventCount);
      await this.#endInCalm();
    } catch (fault) {
      this.#violation ??= fault instanceof Error ? fault : new Error(String(fault));
    }
    this.#see({ type: "over" });
    this.#edge.close();
    this.#nemesis.backups.close();
    return {
      seed: this.#seed,
      hash: this.#hash.toString(),
      eventCount: this.#timeline.happenedCount,
      lastedMs: this.#timeline.nowMs,
      violation: this.#violation,
      counts: new Map([
        ...this.#counts,
        ...Object.entries(this.#laws.counts),
        ...Object.entries(this.#flows.counts),
        ...Object.entries(this.#flows.translated.counts),
        ...Object.entries(this.#translations.counts),
      ]),
      history: this.#history,
      tellingMs: Math.max(...this.#hosts.map(({ guard }) => guard.longestTellingMs)),
    };
  }

  async #begin(): Promise<void> {
    const { ips, settings, roomUnits } = this.#scenario;
    const configured = callObject(null, this.#edge.pool, this.#network, (pool) => pool.configure(settings));
    await this.#settle(configured);
    for (const ip of ips) {
      const added = callObject(null, this.#edge.pool, this.#network, (pool) => pool.addIp(ip, null));
      await this.#settle(added);
      this.#edge.address(ip).evict();
      this.#edge.loadBallast(ip, roomUnits);
      const { leaseDurationMs, quarantineMs } = settings;
      this.#see({ type: "promised", ip, leaseDurationMs, quarantineMs });
    }
    for (const object of this.#edge.objects) {
      object.onBug = (text) => {
        this.#violation ??= new Violation("bug", text);
      };
      object.onFate = (what) => this.#meet(`object: ${what}`);
      object.onReport = (text) => this.#trace(`${object.name} reports: ${text}`);
    }
    for (const router of this.#routers) router.start();
    for (const host of this.#hosts) if (!host.isDuplicate) host.start();
    this.#worker.begin();
    this.#nemesis.begin(this.#options.areRestored === true);
  }

  async #endInCalm(): Promise<void> {
    this.#nemesis.calm();
    const dead = this.#hosts.filter(({ isDuplicate }) => isDuplicate);
    for (const host of dead) host.switchOff();
    // Some never come back, and now and then nobody does: then alarms alone bring order.
    const living = this.#hosts.filter(({ isDuplicate }) => !isDuplicate);
    const lostCount = this.#chance.isLikely(0.1) ? living.length : Number(this.#chance.isLikely(0.3));
    for (const lost of living.splice(living.length - lostCount)) {
      lost.switchOff();
      dead.push(lost);
    }
    for (const host of living) {
      host.demand = 0.5;
      if (host.containers !== null) host.containers.demand = 0.5;
      host.start();
    }
    const settings = { ...this.#scenario.settings, firstBlockOrder: 6 };
    const boundMs = LONGEST_LEASE_MS + settings.quarantineMs + CALM_SLACK_MS;
    const machines = living.map(({ machine }) => machine.name);
    this.#see({ type: "calm", machines, leastHosts: settings.minHostsPerIp, boundMs });
    await this.#settle(this.#nemesis.operatorIsHeard());
    await this.#insist((pool) => pool.configure(settings));
    for (const ip of this.#scenario.ips) await this.#insist((pool) => pool.addIp(ip, null));
    // What the operator has not resumed yet, or nobody heard of.
    for (const ip of this.#scenario.ips) await this.#insist((pool) => pool.drainIp(ip, false));
    for (const { name } of living) await this.#insist((pool) => pool.drainHost(name, false));
    if (settings.staticPortsPerHost !== null) {
      await this.#removeGone(living, settings.hostSilenceMs);
      await this.#confirmSlots(living, boundMs);
    }
    const endMs = this.#timeline.nowMs + boundMs;
    await this.#stepWhile(() => this.#timeline.nowMs < endMs);
    // A block may go at this very moment, and with it the only unit of the kernel: the next comes when flows have ended.
    const world = { edge: this.#edge, living };
    const lastMs = endMs + LONGEST_YIELDING_MS;
    await this.#stepWhile(() => areContainersWaiting(world) && this.#timeline.nowMs < lastMs);
    const checked = checkCalm({
      edge: this.#edge,
      worker: this.#worker,
      living,
      dead,
      routers: this.#routers,
      settings,
    });
    await this.#settle(checked);
  }

  /**
   * The operator removes each name of which the edge knows an instance that is gone for good, or more
   * than one slot. Whoever lives under that name is ended before, and started anew. [SM5]
   */
  async #removeGone(living: readonly Host[], silenceMs: number): Promise<void> {
    for (let stale = this.#staleNames(living); stale.size > 0; stale = this.#staleNames(living)) {
      const ended = living.filter(({ name }) => stale.has(name));
      for (const host of ended) host.switchOff();
      const noticedMs = this.#timeline.nowMs + 2 * silenceMs;
      await this.#stepWhile(() => this.#timeline.nowMs < noticedMs);
      for (const name of stale) await this.#insist((pool) => pool.removeHost(name));
      for (const host of ended) host.switchOn();
    }
  }

  /** Those that are gone come back never again, and the others say what they hold. [OC6] */
  async #confirmSlots(living: readonly Host[], boundMs: number): Promise<void> {
    if (!this.#edge.awaitsSlots) return;
    const endMs = this.#timeline.nowMs + boundMs;
    await this.#stepWhile(() => this.#timeline.nowMs < endMs && !areSlotsKnown(this.#edge, living));
    if (!areSlotsKnown(this.#edge, living)) throw new Violation("calm", "a slot stays unknown to the edge");
    this.#edge.confirmSlots();
  }

  #staleNames(living: readonly Host[]): Set<string> {
    const instances = new Map(living.map(({ name, instance }) => [name, instance]));
    const known = [
      ...this.#edge.pool.database.sql.exec("SELECT host, instance FROM host").toArray(),
      ...this.#slotRows(),
    ];
    const counts = Map.groupBy(this.#slotRows(), (row) => row["host"] as string);
    const stale = known
      .map((row) => [row["host"] as string, row["instance"] as string] as const)
      .filter(([name, instance]) => instances.get(name) !== instance || (counts.get(name)?.length ?? 0) > 1);
    return new Set(stale.map(([name]) => name).filter((name) => name !== BALLAST));
  }

  #slotRows() {
    const leased = "SELECT host, instance FROM lease WHERE ended_at_ms IS NULL";
    return this.#scenario.ips.flatMap((ip) => this.#edge.address(ip).database.sql.exec(leased).toArray());
  }

  /** What an operator does until it is done. */
  async #insist(what: (pool: PoolService) => Promise<unknown>): Promise<void> {
    for (;;) {
      try {
        await this.#settle(callObject(null, this.#edge.pool, this.#network, what));
        return;
      } catch (fault) {
        this.#trace(`not done: ${String(fault)}`);
        if (this.#violation !== null) throw fault;
      }
    }
  }

  async #settle<Result>(work: Promise<Result>): Promise<Result> {
    let isDone = false;
    const done = work.finally(() => {
      isDone = true;
    });
    done.catch(() => {});
    await this.#stepWhile(() => !isDone);
    return done;
  }

  async #stepWhile(goesOn: () => boolean): Promise<void> {
    let inOneInstant = 0;
    while (goesOn() && this.#violation === null) {
      const beforeMs = this.#timeline.nowMs;
      if (!this.#timeline.step()) throw new Error("nothing happens any more");
      inOneInstant = this.#timeline.nowMs === beforeMs ? inOneInstant + 1 : 0;
      if (inOneInstant > MOST_IN_ONE_INSTANT) throw new Error("time stands still");
      // Whatever was promised and is due comes before the next thing happens.
      await this.#settling.wait();
      this.#edge.endTurns();
      this.#hash.addTime(this.#timeline.nowMs);
      for (const router of this.#routers) this.#attention.watch(router);
    }
    if (this.#violation !== null) throw this.#violation;
  }

  #makeMachines(hostCount: number, routerCount: number): void {
    const machineOf = (name: string): Machine => {
      const rate = 1 + this.#chance.between(-5e-4, 5e-4);
      return new Machine(name, this.#timeline, rate, this.#chance.between(-200, 200));
    };
    const surroundings = {
      network: this.#network,
      chance: this.#chance,
      pool: POOL,
      edge: EDGE_URL,
      dial: this.#edge.dial,
    };
    const ofHosts = {
      ...surroundings,
      onChosen: (host: Host, ip: string, port: number) =>
        this.#checked(() => this.#laws.chosen(ip, port, host)),
      onOpened: (host: Host, ip: string, isWithoutLease: boolean) =>
        this.#checked(() => this.#flows.opened(host, ip, isWithoutLease)),
      onShared: (what: string) =>
        this.#checked(() => {
          throw new Violation("parts", what);
        }),
      onBroken: (host: Host, flow: OpenFlow, how: Break) =>
        this.#checked(() => this.#flows.broken(host, flow, how)),
      transmit: (host: Host, ip: string, port: number, kind: "socket" | "translated" = "socket") =>
        this.#transmit(host, ip, port, kind),
      translations: this.#watchedTranslations(),
      watch: (host: Host, url: URL, direction: "sent" | "read", text: string) =>
        this.#wiretap.host(host, url, direction, text),
      onAgent: (host: Host, what: "started" | "drains" | "ended", ranMs: number) => {
        // What is its own for good is shut until the next agent has spoken. [MA4]
        const isStatic = this.#options.isStatic === true;
        const isAllOver = what === "drains" || host.machine.isOff || !host.isTranslating;
        if (isAllOver || isStatic) this.#flows.translated.left(host);
        if (what === "drains") return;
        if (what === "ended") this.#flows.translated.ended(host, ranMs);
        this.#flows.began(host);
        this.#see({ type: what, machine: host.machine.name });
      },
    };
    for (let at = 1; at <= hostCount; at += 1) {
      const translates = this.#scenario.translators[at - 1] ?? null;
      this.#hosts.push(new Host(`h${at}`, machineOf(`m${at}`), `10.0.0.${at}`, ofHosts, { translates }));
    }
    const duplicate = new Host("h1", machineOf("m1-twin"), "10.0.0.99", ofHosts, { isDuplicate: true });
    duplicate.machine.isOff = true;
    this.#hosts.push(duplicate);
    for (const host of this.#hosts) {
      host.guard.onChange = (ip) => this.#checked(() => this.#laws.senders(ip));
    }
    for (let at = 1; at <= routerCount; at += 1) {
      const router: SimulatedRouter = new SimulatedRouter(`r${at}`, machineOf(`router${at}`), {
        ...surroundings,
        watch: (watched, direction, text) => this.#wiretap.router(watched, direction, text),
      });
      router.kernel.onPut = (entry, replaced) => this.#laws.steered(router, entry, replaced);
      this.#routers.push(router);
    }
  }

  #watchedTranslations(): TranslationWatcher {
    const checks = this.#translations;
    return {
      chosen: (host, flow) => this.#checked(() => checks.chosen(host, flow)),
      passed: (host, flow) => this.#checked(() => checks.passed(host, flow)),
      broken: (host, flow, how) => {
        this.#count(`translated flow: ${how}`);
        this.#checked(() => checks.broken(host, flow, how));
      },
      look: (host) => this.#checked(() => checks.look(host)),
    };
  }

  /** A packet wants to leave, and an answer may come back to some router. */
  #transmit(host: Host, ip: string, port: number, kind: "socket" | "translated"): boolean {
    if (!host.guard.permits(ip, port, kind)) {
      this.#count("packet held back");
      return false;
    }
    this.#count(kind === "socket" ? "packet sent" : "translated packet sent");
    this.#laws.senders(ip);
    this.#see({ type: "sent", machine: host.machine.name, ip, port });
    if (this.#routers.length === 0) return true;
    this.#timeline.after(this.#chance.between(5, 300), () => {
      const router = this.#chance.pick(this.#routers);
      if (router.machine.isOff || router.machine.isSuspended) return;
      const reach = router.kernel.find(ip, port)?.nextHop ?? null;
      const machine = this.#hosts.find((candidate) => candidate.reach === reach)?.machine.name ?? null;
      this.#count(machine === null ? "answer dropped" : "answer steered");
      this.#see({
        type: "steered",
        router: router.name,
        isAttentive:
          this.#attention.isAttentive(router) &&
          this.#attention.isPublished(ip, this.#poolDisk) &&
          this.#poolDisk.isEnlisted(host),
        ip,
        port,
        machine,
      });
    });
    return true;
  }

  #noteTaken(ip: string, version: number, laggardCount: number): void {
    if (this.#takenVersions.get(ip) === version) this.#meet("pool: takes what was published twice");
    this.#takenVersions.set(ip, version);
    this.#meet(laggardCount === 0 ? "routers: have all applied it" : "routers: a grant goes ahead of one");
  }

  #trace(text: string): void {
    this.#options.trace?.(`${this.#timeline.nowMs.toFixed(3).padStart(12)} ${text}`);
  }

  #see(sighting: Unseen): void {
    this.#history.push({ atMs: this.#timeline.nowMs, ...sighting });
  }

  readonly #meet = (transition: Transition): void => this.#count(transition);

  #count(what: string): void {
    this.#counts.set(what, (this.#counts.get(what) ?? 0) + 1);
  }

  /** A violation that comes up in the middle of somebody's work must not be taken for that one's fault. */
  #checked(check: () => void): void {
    try {
      check();
    } catch (fault) {
      if (!(fault instanceof Violation)) throw fault;
      this.#violation ??= fault;
    }
  }
}

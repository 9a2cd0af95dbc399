/**
 * Everything that goes wrong, or is done by an operator, in the middle of a run. Each kind of
 * fault begins something and, mostly, ends it a while later; when calm comes all is ended.
 *
 * What the protocol cannot bear by its own words is left out, and said here:
 * - What both clocks of a host would be wrong by at once (`host-faults.ts`). [HO4] [GU3]
 * - Where the edge is restored, no duplicate instance is started: a pool that has never heard of the first
 *   steers what routers still have of it to the second. [OC4]
 * - An address's clock does not leap forward, within a lease and its quarantine, by more in all
 *   than half a quarantine as far as the address can believe it. [LE6]
 */
import type { PoolService } from "../../durable-objects/pool/pool-service.ts";
import type { PoolSettings } from "../../src/core/pool-settings.ts";
import type { Arena, Spells } from "./arena.ts";
import { Backups } from "./backups.ts";
import type { Edge } from "./edge.ts";
import type { EdgeObject, ObjectProgram } from "./edge-object.ts";
import { callObject } from "./object-calls.ts";
import { HostFaults } from "./host-faults.ts";
import type { Machine } from "./machine.ts";
import { FAIR_WEATHER, type Way } from "./network.ts";
import type { SimulatedRouter } from "./router.ts";

const USUAL_CLOCK_ERROR_MS = 100;
const MEND_AGAIN_MS = 3_000;

type Fault = (nemesis: Nemesis) => void;

/** Every kind of fault, by name. */
export const FAULTS: Readonly<Record<string, Fault>> = {
  "cut-way": (nemesis) => nemesis.cutWay(),
  "cut-machine": (nemesis) => nemesis.cutMachine(),
  "cut-object": (nemesis) => nemesis.cutObject(),
  "bad-weather": (nemesis) => nemesis.badWeather(),
  "pause-host": (nemesis) => nemesis.hosts.pause(),
  "pause-data-process": (nemesis) => nemesis.hosts.pauseDataProcess(),
  "kill-data-process": (nemesis) => nemesis.hosts.killDataProcess(),
  "suspend-host": (nemesis) => nemesis.hosts.suspend(),
  "kill-host": (nemesis) => nemesis.hosts.kill(),
  "power-off-host": (nemesis) => nemesis.hosts.powerOff(),
  "reinstall-host": (nemesis) => nemesis.hosts.reinstall(),
  "drain-host": (nemesis) => nemesis.hosts.drain(),
  "set-wall-clock": (nemesis) => nemesis.hosts.setWallClock(),
  "trouble-guard": (nemesis) => nemesis.hosts.troubleGuard(),
  burst: (nemesis) => nemesis.hosts.burst(),
  twin: (nemesis) => nemesis.hosts.startDuplicate(),
  "kill-router": (nemesis) => nemesis.killRouter(),
  "power-off-router": (nemesis) => nemesis.powerOffRouter(),
  "reinstall-router": (nemesis) => nemesis.reinstallRouter(),
  "suspend-router": (nemesis) => nemesis.suspendRouter(),
  "pause-router": (nemesis) => nemesis.pauseRouter(),
  "trouble-steering": (nemesis) => nemesis.troubleSteering(),
  "evict-object": (nemesis) => nemesis.anyObject().evict(),
  "crash-object": (nemesis) => nemesis.crashObject(),
  "lose-turn": (nemesis) => nemesis.loseTurn(),
  "supersede-object": (nemesis) => nemesis.supersedeObject(),
  "disk-full": (nemesis) => nemesis.fillDisk(),
  "slow-disk": (nemesis) => nemesis.slowDisk(),
  "ring-alarm": (nemesis) => nemesis.anyObject().ring(),
  "set-object-clock": (nemesis) => nemesis.setObjectClock(),
  configure: (nemesis) => nemesis.configure(),
  "remove-address": (nemesis) => nemesis.removeAddress(),
  "operator-drains": (nemesis) => nemesis.drainByOperator(),
};

/** Of runs whose edge is restored from older copies now and then; the others stay as they were drawn. */
const RESTORE = "restore-edge";

/** Begins faults at random times until calm. */
export class Nemesis implements Spells {
  readonly hosts: HostFaults;
  readonly backups: Backups;
  readonly #arena: Arena;
  /** How each fault that lasts is ended. */
  readonly #ends = new Set<() => void>();
  /** Changes of settings that are under way. */
  readonly #said = new Set<Promise<unknown>>();
  /** Objects that have judged by a clock that was set: an alarm of that time may ring late. */
  readonly #clockSet = new Set<EdgeObject<ObjectProgram>>();
  #isCalm = false;

  constructor(arena: Arena) {
    this.#arena = arena;
    this.hosts = new HostFaults(arena, this);
    this.backups = new Backups(arena);
  }

  /** `areRestored`: the edge is restored from older copies now and then. */
  begin(areRestored: boolean): void {
    const { network, chance, scenario, count } = this.#arena;
    const mayHappen = (name: string): boolean => !areRestored || name !== "twin";
    const weights = [...scenario.faultWeights].filter(([name, weight]) => weight > 0 && mayHappen(name));
    if (areRestored) {
      this.backups.begin();
      // Each is followed by a time in which nothing is granted, so they are not many.
      // In a static pool that time begins only when the operator has looked at all hosts.
      const rarity = scenario.settings.staticPortsPerHost === null ? 15 : 60;
      weights.push([RESTORE, weights.reduce((sum, [, weight]) => sum + weight, 1) / rarity]);
    }
    const total = weights.reduce((sum, [, weight]) => sum + weight, 0);
    if (total === 0) return;
    const next = (): void => {
      network.timeline.after(scenario.faultEveryMs * chance.between(0.1, 1.9), () => {
        if (this.#isCalm) return;
        let ticket = chance.next() * total;
        const drawn = weights.find(([, weight]) => (ticket -= weight) < 0) ?? weights[0]!;
        count(drawn[0]);
        if (drawn[0] === RESTORE) this.backups.restore();
        else FAULTS[drawn[0]]!(this);
        next();
      });
    };
    next();
  }

  get areOver(): boolean {
    return this.#isCalm;
  }

  /** Ends everything. */
  calm(): void {
    this.#isCalm = true;
    this.backups.end();
    for (const end of this.#ends) end();
    const { network } = this.#arena;
    network.weather = FAIR_WEATHER;
    network.healAll();
    for (const object of this.#arena.edge.objects)
      this.#mendClock(object as unknown as EdgeObject<ObjectProgram>);
  }

  /**
   * Sets it right as soon as that may be. An alarm is as late as the clock was ahead when it was
   * set, be the object elsewhere by now, unless somebody speaks to the address: so an operator looks
   * at it.
   */
  #mendClock(object: EdgeObject<ObjectProgram>): void {
    const { edge, mayLeap, network } = this.#arena;
    const byMs = -object.machine.wallOffsetMs;
    const ip = ipOf(edge, object);
    if (Math.abs(byMs) < USUAL_CLOCK_ERROR_MS) {
      if (this.#clockSet.has(object)) this.#lookAt(ip);
    } else if (ip === null || mayLeap(ip, byMs)) {
      object.machine.setWall(byMs);
      object.clockChanged();
      this.#lookAt(ip);
    } else {
      network.timeline.after(MEND_AGAIN_MS, () => this.#mendClock(object));
    }
  }

  #lookAt(ip: string | null): void {
    if (ip === null) return;
    const { edge, network } = this.#arena;
    void callObject(null, edge.address(ip), network, (address) => address.describe()).catch(() => {});
  }

  /** Between a machine and an object, or two objects; both ways, or one. */
  cutWay(): void {
    const { network, chance, edge } = this.#arena;
    const object = this.anyObject().name;
    const others = [...this.#machines(), ...edge.objects.filter(({ name }) => name !== object)];
    const { name } = chance.pick(others);
    const ways = [network.way(name, object), network.way(object, name)];
    this.#cut(chance.isLikely(0.5) ? ways : [chance.pick(ways)]);
  }

  cutMachine(): void {
    const { network, chance, edge } = this.#arena;
    const { name } = chance.pick(this.#machines());
    const ways = edge.objects.flatMap((object) => [
      network.way(name, object.name),
      network.way(object.name, name),
    ]);
    this.#cut(ways);
  }

  /** From everybody; what was said to it meanwhile comes at one moment, and what was asked again, twice. */
  cutObject(): void {
    const { network, chance, edge } = this.#arena;
    const object = this.anyObject();
    const others = [...this.#machines(), ...edge.objects.filter(({ name }) => name !== object.name)];
    const there = others.map(({ name }) => network.way(name, object.name));
    const back = others.map(({ name }) => network.way(object.name, name));
    this.#cut(chance.isLikely(0.5) ? there : [...there, ...back]);
  }

  badWeather(): void {
    const { network, scenario } = this.#arena;
    network.weather = scenario.badWeather;
    this.during(this.anyTimeMs() * 2, () => {
      network.weather = FAIR_WEATHER;
    });
  }

  killRouter(): void {
    const router = this.#anyRouter();
    router?.kill();
    this.during(this.anyTimeMs(), () => router?.start());
  }

  powerOffRouter(): void {
    const router = this.#anyRouter();
    router?.switchOff();
    this.during(this.anyTimeMs(), () => router?.switchOn());
  }

  reinstallRouter(): void {
    const router = this.#anyRouter();
    router?.reinstall();
    this.during(this.anyTimeMs() / 2, () => router?.switchOn());
  }

  suspendRouter(): void {
    const machine = this.#anyRouter()?.machine;
    machine?.suspend();
    this.during(this.anyTimeMs(), () => machine?.resume());
  }

  pauseRouter(): void {
    const process = this.#anyRouter()?.process;
    process?.pause();
    this.during(this.anyTimeMs(), () => process?.continue());
  }

  troubleSteering(): void {
    const troubles = this.#anyRouter()?.troubles;
    if (troubles === undefined) return;
    const { chance } = this.#arena;
    troubles.failureChance = chance.pick([0, 0.3, 1]);
    troubles.slownessMs = chance.pick([0, 500, 4_000]);
    this.during(this.anyTimeMs(), () => {
      troubles.failureChance = 0;
      troubles.slownessMs = 0;
    });
  }

  crashObject(): void {
    const object = this.anyObject();
    if (this.#arena.chance.isLikely(0.5)) this.#move(object);
    object.crash();
  }

  loseTurn(): void {
    this.anyObject().troubles.isNextTurnLost = true;
  }

  supersedeObject(): void {
    const object = this.anyObject();
    this.#move(object);
    object.supersede(this.anyTimeMs());
  }

  fillDisk(): void {
    const { troubles } = this.anyObject();
    troubles.isDiskFull = true;
    this.during(this.anyTimeMs() / 4, () => {
      troubles.isDiskFull = false;
    });
  }

  slowDisk(): void {
    const { troubles } = this.anyObject();
    troubles.diskDelayMs = this.#arena.chance.between(10, 2_000);
    this.during(this.anyTimeMs(), () => {
      troubles.diskDelayMs = 0;
    });
  }

  setObjectClock(): void {
    const { chance, edge, scenario } = this.#arena;
    const object = this.anyObject();
    const byMs =
      chance.pick([-1, 1]) * chance.between(0, chance.pick([500, scenario.settings.quarantineMs, 3_600_000]));
    const ip = ipOf(edge, object);
    if (ip !== null && !this.#arena.mayLeap(ip, byMs)) return;
    object.machine.setWall(byMs);
    object.clockChanged();
    this.#clockSet.add(object);
    if (ip === null) this.#arena.poolClockSet();
  }

  /** Everything that an operator may change; the quarantine stays, for it is what others are judged by. */
  configure(): void {
    const { chance, edge, network } = this.#arena;
    const changes: Partial<PoolSettings> = chance.pick<Partial<PoolSettings>>([
      { leaseDurationMs: chance.pick([3_000, 5_000, 8_000, 15_000]) },
      // Hosts may still count on more.
      { leaseDurationMs: 3_000 },
      { minPortsPerHost: chance.pick([64, 128]) },
      { maxPortsPerHost: chance.pick([128, 256]) },
      { firstBlockOrder: chance.pick([6, 7]) },
      { steeringDeadlineMs: chance.pick([0, 300, 2_000]) },
      { minHostsPerIp: chance.pick([1, 2, 3]) },
    ]);
    const said = callObject(null, edge.pool, network, (pool) => pool.configure(changes)).catch(() => {});
    this.#said.add(said);
    void said.finally(() => this.#said.delete(said));
  }

  /** What the operator said has been carried out, or is lost: what is said from now on comes last. */
  async operatorIsHeard(): Promise<void> {
    await Promise.all(this.#said);
  }

  removeAddress(): void {
    void this.#removeForAWhile(this.#arena.chance.pick(this.#arena.scenario.ips));
  }

  /** The operator gives it back a while later, whatever has become of it, but says nothing twice at once. */
  async #removeForAWhile(ip: string): Promise<void> {
    await this.#askPool((pool) => pool.removeIp(ip));
    const giveBack = (): void => void this.#askPool((pool) => pool.addIp(ip, null));
    this.during(this.#isCalm ? 0 : 2 * this.anyTimeMs(), giveBack);
  }

  /** A host or an address, for a while. */
  drainByOperator(): void {
    const { chance, hosts, scenario } = this.#arena;
    const ip = chance.pick(scenario.ips);
    const { name } = chance.pick(hosts);
    const isAddress = chance.isLikely(0.4);
    void this.#drainForAWhile((pool, isDrained) =>
      isAddress ? pool.drainIp(ip, isDrained) : pool.drainHost(name, isDrained),
    );
  }

  /** The operator resumes it a while later, but says nothing twice at once. */
  async #drainForAWhile(drain: (pool: PoolService, isDrained: boolean) => Promise<unknown>): Promise<void> {
    await this.#askPool((pool) => drain(pool, true));
    const resume = (): void => void this.#askPool((pool) => drain(pool, false));
    this.during(this.#isCalm ? 0 : 2 * this.anyTimeMs(), resume);
  }

  async #askPool(what: (pool: PoolService) => Promise<unknown>): Promise<void> {
    const { edge, network } = this.#arena;
    try {
      await callObject(null, edge.pool, network, what);
    } catch {
      // It may have been done all the same.
    }
  }

  anyObject(): EdgeObject<ObjectProgram> {
    return this.#arena.chance.pick(this.#arena.edge.objects) as unknown as EdgeObject<ObjectProgram>;
  }

  #move(object: EdgeObject<ObjectProgram>): void {
    const { edge } = this.#arena;
    const machine = edge.newMachine();
    const byMs = machine.wallMs() - object.machine.wallMs();
    const ip = ipOf(edge, object);
    if (ip !== null && !this.#arena.mayLeap(ip, byMs)) return;
    object.machine = machine;
    // Also of one that sleeps, and is not there to be ended or replaced.
    object.clockChanged();
    if (ip === null) this.#arena.poolClockSet();
  }

  #cut(ways: readonly Way[]): void {
    for (const way of ways) way.cut();
    this.during(this.anyTimeMs(), () => {
      for (const way of ways) way.heal();
    });
  }

  during(lastsMs: number, end: () => void): void {
    const once = (): void => {
      if (this.#ends.delete(once)) end();
    };
    this.#ends.add(once);
    this.#arena.network.timeline.after(lastsMs, once);
  }

  /** Mostly short; up to twice what a lease lasts. */
  anyTimeMs(): number {
    const { chance, scenario } = this.#arena;
    const { leaseDurationMs } = scenario.settings;
    return chance.between(
      50,
      chance.pick([500, leaseDurationMs / 2, 1.5 * leaseDurationMs, 2 * leaseDurationMs]),
    );
  }

  #anyRouter(): SimulatedRouter | null {
    const { routers, chance } = this.#arena;
    return routers.length === 0 ? null : chance.pick(routers);
  }

  #machines(): Machine[] {
    return [...this.#arena.hosts, ...this.#arena.routers].map(({ machine }) => machine);
  }
}

/** The address that an object is; null for the pool. */
function ipOf(edge: Edge, object: EdgeObject<ObjectProgram>): string | null {
  const found = [...edge.addresses].find(([, address]) => address.name === object.name);
  return found?.[0] ?? null;
}

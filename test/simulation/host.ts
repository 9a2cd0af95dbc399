/**
 * A host: a machine with a guard in its kernel and a state directory on its disk, and the agent
 * that runs on it for a while. Of the agent it is all that decides who may send when: membership,
 * lease keepers, guarded ports and the binder. The traffic paths are stood in for by flows that
 * open, send, and end or are reset.
 */
import { GuardedPorts } from "../../src/agent/machine/guarded-ports.ts";
import { PoolMember } from "../../src/agent/leasing/pool-member.ts";
import type { HostToSee } from "../../src/agent/leasing/watch-talk.ts";
import type { HeldPort } from "../../src/agent/egress/held-port.ts";
import type { Lease } from "../../src/core/lease-commands.ts";
import { unitOf, unitsOf } from "../../src/core/port-block.ts";
import type { SnatRule } from "../../src/agent/translation/snat-rule.ts";
import { Translator } from "../../src/agent/translation/translator.ts";
import type { AddressPorts } from "../../src/agent/egress/address-ports.ts";
import { PortBinder } from "../../src/agent/egress/port-binder.ts";
import type { ServedAddresses } from "../../src/agent/leasing/served-addresses.ts";
import type { Chance } from "./chance.ts";
import { DividedHost, type HostPart } from "./divided-host.ts";
import { type Dial, type LinkWorld, SimulatedLink } from "./connection.ts";
import type { Break } from "./flow-checks.ts";
import { Containers, type TranslatedBreak } from "./containers.ts";
import { GuardKernel, SimulatedGuard } from "./guard-kernel.ts";
import { type Machine, Process } from "./machine.ts";
import type { Network } from "./network.ts";
import { PortsApart } from "./ports-apart.ts";
import { SILENT_LOG } from "./silent-log.ts";
import { SimulatedTranslation } from "./simulated-translation.ts";
import { type TrackedFlow, TranslationTable } from "./translation-table.ts";

/** Where every part of a run finds the others. */
export interface HostSurroundings {
  readonly network: Network;
  readonly chance: Chance;
  readonly pool: string;
  readonly edge: URL;
  readonly dial: Dial;
  /** The agent has chosen a port for a new flow. */
  readonly onChosen: (host: Host, ip: string, port: number) => void;
  /** A flow was opened, or could not be for want of a lease. */
  readonly onOpened: (host: Host, ip: string, isWithoutLease: boolean) => void;
  /** Two processes of a host could use the same port, or do. */
  readonly onShared: (what: string) => void;
  /** A flow that was open cannot go on. */
  readonly onBroken: (host: Host, flow: OpenFlow, how: Break) => void;
  /** A packet of a socket, or a translated one, wants to leave; the guard decides whether it does. */
  readonly transmit: (host: Host, ip: string, port: number, kind?: "socket" | "translated") => boolean;
  /** What happens to flows of containers. */
  readonly translations: TranslationWatcher;
  readonly watch: (host: Host, url: URL, direction: "sent" | "read", text: string) => void;
  readonly onAgent: (host: Host, what: "started" | "drains" | "ended", ranMs: number) => void;
}

/** Is told what a machine's kernel does for its containers. */
export interface TranslationWatcher {
  /** A port was chosen for a new flow. */
  chosen(host: Host, flow: TrackedFlow): void;
  /** A packet of an entry has left. */
  passed(host: Host, flow: TrackedFlow): void;
  broken(host: Host, flow: TrackedFlow, how: TranslatedBreak): void;
  /** It is time to look at all entries. */
  look(host: Host): void;
}

/** Ports towards as many destinations: room is judged towards the busiest. */
const DESTINATIONS = ["203.0.113.1:443/tcp", "203.0.113.2:443/tcp"];
const DISK_DELAY_MS = 30;
/** Whom agents translate for: what containers do is another matter here. */
const SENDERS: SnatRule = {
  name: "containers",
  ips: [],
  sources: ["10.88.0.0/16"],
  devices: [],
  marks: [],
  cgroups: [],
  direct: [],
};
/** How long a flow waits for a port of another process. */
const PORT_WAIT_MS = 1_000;
/** How long the kernel goes on with connections whose process was killed: resets, retransmissions. */
const AFTERLIFE_MS = 15_000;

/** What is on the disk of a machine; `epochs` is written a moment after it was noted. */
interface StateOnDisk {
  instance: string;
  epochs: Map<string, number>;
  /** The static slots, by address: on it for good when that is said. */
  slots: Map<string, readonly Lease[]>;
}

/** A flow, as others see it. */
export interface OpenFlow {
  readonly ip: string;
  readonly port: number;
  /** True time. */
  readonly openedAtMs: number;
}

interface Flow extends OpenFlow {
  readonly part: HostPart;
  readonly destination: string;
  readonly held: HeldPort;
  isOver: boolean;
}

/** One agent, from its start until it ends. */
interface Agent {
  readonly process: Process;
  readonly member: PoolMember;
  readonly binder: ServedAddresses;
  /** Where its flows are: in the agent's own process, or in several. */
  readonly parts: () => readonly HostPart[];
  readonly divided: DividedHost | null;
  readonly flows: Set<Flow>;
  isDraining: boolean;
  /** Whether its ports hear of commands some time after its guard. */
  readonly areApart: boolean;
}

/** Nobody looks at the pool of a run, so no host may be asked to tell of itself. [LV1] */
const UNSEEN: HostToSee = {
  now: () => unasked(),
  past: () => unasked(),
  watch: () => unasked(),
  takeDecisions: () => unasked(),
};

function unasked(): never {
  throw new Error("a host was watched, and nobody looks");
}

/** What sort of machine it is. */
export interface HostKind {
  /** Claims the name of another machine's host. */
  readonly isDuplicate?: boolean;
  /** What its containers draw from; without it there are none. */
  readonly translates?: Chance | null;
}

/** A machine that is, or was, a host. Its name is its host's, which another machine may claim too. */
export class Host {
  readonly name: string;
  readonly machine: Machine;
  readonly guard: GuardKernel;
  /** Claims the name of another machine's host. */
  readonly isDuplicate: boolean;
  /** Where routers reach it. */
  readonly reach: string;
  /** How much it wants to send: flows that it opens per second. */
  demand = 2;
  /** What its kernel translates; null where its agents do without. */
  readonly translation: TranslationTable | null;
  readonly containers: Containers | null;
  readonly #surroundings: HostSurroundings;
  readonly #disk: StateOnDisk;
  #lifeCount = 0;
  /** It is to be started again as soon as it has drained. */
  #isRestartWanted = false;
  #agent: Agent | null = null;
  readonly #leftovers = new Set<Process>();

  constructor(
    name: string,
    machine: Machine,
    reach: string,
    surroundings: HostSurroundings,
    { isDuplicate = false, translates = null }: HostKind = {},
  ) {
    this.name = name;
    this.reach = reach;
    this.isDuplicate = isDuplicate;
    this.machine = machine;
    this.guard = new GuardKernel(machine);
    this.#surroundings = surroundings;
    this.translation = translates === null ? null : new TranslationTable(machine);
    this.containers = this.#containersOf(translates);
    this.#disk = { instance: this.#newInstance(), epochs: new Map(), slots: new Map() };
  }

  #containersOf(chance: Chance | null): Containers | null {
    const { machine, guard, translation: table } = this;
    if (chance === null || table === null) return null;
    const { transmit, translations } = this.#surroundings;
    return new Containers({
      machine,
      guard,
      table,
      chance,
      // One that was started anew knows nothing of them before it has ports itself.
      agent: (ip) => (this.portCount(ip) > 0 ? this.process : null),
      transmit: (ip, port) => transmit(this, ip, port, "translated"),
      onTranslated: (flow) => translations.chosen(this, flow),
      onPassed: (flow) => translations.passed(this, flow),
      onBroken: (flow, how) => translations.broken(this, flow, how),
      onLook: () => translations.look(this),
    });
  }

  get process(): Process | null {
    return this.#agent?.process ?? null;
  }

  /** A clock that stands while the agent can do nothing; it begins anew with each agent. */
  get runningMs(): number {
    return this.#agent?.process.runningMs() ?? 0;
  }

  get instance(): string {
    return this.#disk.instance;
  }

  /** Whether a port is of a block that was taken away, which its ports may not have heard of yet. */
  mayNotHaveHeard(ip: string, port: number): boolean {
    return this.#agent?.areApart === true && this.guard.hasShut(ip, port);
  }

  /** What its disk has of static slots. */
  readonly keptSlots = (): readonly Lease[] => [...this.#disk.slots.values()].flat();

  /** The same of one address. */
  keptSlotsOf(ip: string): readonly Lease[] {
    return this.#disk.slots.get(ip) ?? [];
  }

  /** Whether the agent has not let go of an address. */
  has(ip: string): boolean {
    return this.#agent?.binder.address(ip) !== undefined;
  }

  /** Ports of an address that the agent would choose from now. */
  portCount(ip: string): number {
    return this.#agent?.binder.address(ip)?.capacity().portCount ?? 0;
  }

  /** Whether the agent could send from an address now. */
  isUsable(ip: string): boolean {
    const agent = this.#agent;
    return (
      agent?.process.isRunning === true && running(agent).some(({ binder }) => binder.address(ip)?.isUsable())
    );
  }

  /** Units of which data processes may choose ports. */
  socketUnits(ip: string): ReadonlySet<number> {
    const units = new Set<number>();
    for (const { process, binder } of this.#agent?.parts() ?? []) {
      if (process.isOver) continue;
      for (const { lease } of binder.address(ip)?.leases() ?? []) {
        for (const unit of unitsOf(lease)) units.add(unit);
      }
    }
    return units;
  }

  /**
   * Units with a flow of a container that may send, or that this agent knows of. An entry that a new agent could not
   * find, since the kernel was told of it too late, is silent.
   */
  translatedUnits(ip: string): ReadonlySet<number> {
    const flows = this.translation?.entries().filter((flow) => flow.ip === ip) ?? [];
    const living = flows.filter(
      ({ agent, port }) => agent === this.process || this.guard.permits(ip, port, "translated"),
    );
    return new Set(living.map(({ unit }) => unit));
  }

  /** Whether its gateway answers. */
  get isAnswering(): boolean {
    return this.#agent?.process.isRunning === true;
  }

  /** Whether the agent gives everything back. */
  get isDraining(): boolean {
    return this.#agent?.isDraining === true;
  }

  /** Starts the agent, with what its disk remembers. */
  start(): void {
    if (this.machine.isOff) return;
    if (this.#agent !== null) {
      this.#isRestartWanted = true;
      return;
    }
    const { network, chance, pool, edge, dial, watch, onAgent } = this.#surroundings;
    const process = new Process(this.machine);
    const flows = new Set<Flow>();
    const own = new PortBinder({ clock: () => this.machine.clock(), random: chance.below, timers: process });
    this.#endLeftovers();
    const guard = new SimulatedGuard(this.guard, process, chance);
    const translator = this.#translatorOf(process, guard);
    const divided =
      translator !== null || chance.isLikely(1 / 3)
        ? new DividedHost(process, network, translator, (part) => this.#lose(flows, part))
        : null;
    const binder = divided?.addresses ?? own;
    const single = [{ process, binder: own }];
    const world: LinkWorld = {
      network,
      process,
      dial,
      peer: this.name,
      watch: (url, direction, text) => watch(this, url, direction, text),
    };
    const prepared = new Map<string, Promise<void>>();
    const areApart = divided !== null || chance.isLikely(0.5);
    const epochs = new Map(this.#disk.epochs);
    const member = new PoolMember({
      edge,
      pool,
      gateway: `http://${this.machine.name}:8800`,
      reach: { ipv4: this.reach, ipv6: null },
      instance: this.#disk.instance,
      token: () => Promise.resolve("token"),
      log: SILENT_LOG,
      binder,
      host: UNSEEN,
      drainDeadlineMs: 3_000,
      presenceIntervalMs: 5_000,
      epochs: {
        highestEpoch: (ip) => epochs.get(ip) ?? 0,
        noteEpoch: (ip, epoch) => {
          epochs.set(ip, Math.max(epoch, epochs.get(ip) ?? 0));
          process.after(chance.between(1, DISK_DELAY_MS), () => this.#writeEpoch(ip, epoch));
        },
      },
      slots: {
        of: () => this.#disk.slots,
        keep: (_pool, ip, slots) =>
          new Promise((resolve) => {
            process.after(chance.between(1, DISK_DELAY_MS), () => {
              this.#disk.slots.set(ip, slots);
              // Between the two it may be killed.
              process.after(1, resolve);
            });
          }),
      },
      machine: {
        prepare: async (ip) => {
          const first = prepared.get(ip) ?? silence(guard, ip);
          prepared.set(ip, first);
          first.catch(() => prepared.delete(ip));
          await first;
        },
        guarded: (ip, ports) => {
          const reached = areApart && divided === null ? new PortsApart(ports, process, network) : ports;
          return new GuardedPorts(ip, reached, guard, () => {});
        },
        unitsInUse: (ip) => guard.translatedUnits(ip),
      },
      whyAbsent: () => Promise.resolve(null),
      openLink: (options) => new SimulatedLink(options, world),
      clock: () => this.machine.clock(),
      timers: process,
      random: chance.next,
    });
    this.#lifeCount += 1;
    const parts = (): readonly HostPart[] => divided?.parts ?? single;
    this.#agent = { process, member, binder, parts, divided, flows, isDraining: false, areApart };
    onAgent(this, "started", 0);
    void translator?.start();
    this.containers?.begin();
    member.start();
    this.#openFlowLater(this.#agent);
  }

  /** Null where the kernel translates for nobody. */
  #translatorOf(process: Process, guard: SimulatedGuard): Translator | null {
    if (this.translation === null) return null;
    return new Translator({
      rules: [SENDERS],
      kernel: new SimulatedTranslation(this.translation, guard, process, this.#surroundings.chance),
      inherited: (ip) => guard.translatedUnits(ip),
      log: SILENT_LOG,
      clock: () => this.machine.clock(),
      timers: process,
    });
  }

  /** kill -9: what its connections still have to say is up to the kernel. */
  kill(): void {
    const agent = this.#agent;
    if (agent === null) return;
    this.#agent = null;
    const ranMs = agent.process.runningMs();
    agent.process.kill();
    // They notice that their agent has gone, unless they can do nothing.
    for (const { process } of agent.divided?.parts ?? []) {
      this.#leftovers.add(process);
      process.run(() => process.kill());
    }
    for (const flow of agent.flows) this.#haunt(flow, this.machine.monotonicMs() + AFTERLIFE_MS);
    this.#surroundings.onAgent(this, "ended", ranMs);
  }

  /** The next agent ends what the one before has left behind, before it does anything else. */
  #endLeftovers(): void {
    for (const process of this.#leftovers) process.kill();
    this.#leftovers.clear();
  }

  /** A data process has ended: so have its flows, but for what their kernel still says. */
  #lose(flows: Set<Flow>, part: HostPart): void {
    for (const flow of flows) {
      if (flow.part !== part) continue;
      flows.delete(flow);
      this.#haunt(flow, this.machine.monotonicMs() + AFTERLIFE_MS);
    }
  }

  /** Its data processes, if it has several. */
  get divided(): DividedHost | null {
    return this.#agent?.divided ?? null;
  }

  /** Power off, at once. */
  switchOff(): void {
    this.machine.isOff = true;
    this.kill();
    this.#endLeftovers();
    this.guard.forget();
    this.translation?.forget();
  }

  switchOn(): void {
    this.machine.isOff = false;
    this.start();
  }

  /** From scratch: the disk is new, the name is not. */
  reinstall(): void {
    this.switchOff();
    this.#disk.instance = this.#newInstance();
    this.#disk.epochs.clear();
    this.#disk.slots.clear();
  }

  /** SIGTERM: gives everything back, and ends. */
  drain(): void {
    const agent = this.#agent;
    if (agent === null) return;
    this.#isRestartWanted = false;
    agent.isDraining = true;
    this.#surroundings.onAgent(this, "drains", agent.process.runningMs());
    agent.process.run(() => {
      void this.#drain(agent);
    });
  }

  async #drain(agent: Agent): Promise<void> {
    await agent.member.drain(3_000);
    if (this.#agent !== agent) return;
    this.kill();
    if (this.#isRestartWanted) this.start();
  }

  /** Opens this many flows towards one destination at once. */
  burst(count: number): void {
    const agent = this.#agent;
    if (agent === null || agent.parts().length === 0) return;
    const part = this.#surroundings.chance.pick(agent.parts());
    part.process.run(() => {
      for (let opened = 0; opened < count; opened += 1) this.#openFlow(agent, part, DESTINATIONS[0]!);
    });
  }

  /** Opens a flow for a request that came through the edge; whether it could. */
  serve(ip: string): boolean {
    const agent = this.#agent;
    if (agent?.process.isRunning !== true) return false;
    const parts = running(agent);
    return (
      parts.length > 0 && this.#openFlowOn(agent, this.#surroundings.chance.pick(parts), ip, DESTINATIONS[1]!)
    );
  }

  #openFlowLater(agent: Agent): void {
    const { chance } = this.#surroundings;
    agent.process.after((1_000 / this.demand) * chance.between(0.5, 1.5), () => {
      const parts = running(agent);
      if (parts.length > 0) this.#openFlow(agent, chance.pick(parts), chance.pick(DESTINATIONS));
      this.#openFlowLater(agent);
    });
  }

  #openFlow(agent: Agent, part: HostPart, destination: string): void {
    const addresses = [...part.binder.addresses()];
    if (addresses.length === 0) return;
    this.#openFlowOn(agent, part, this.#surroundings.chance.pick(addresses).ip, destination);
  }

  #openFlowOn(agent: Agent, part: HostPart, ip: string, destination: string): boolean {
    const { onOpened } = this.#surroundings;
    const address = part.binder.address(ip);
    const taken = address?.take(destination);
    const isLost = taken?.ok === false && taken.refusal === "lease-lost";
    // A process that has only begun may have heard of none yet.
    const isWithoutLease = isLost && !running(agent).some(({ binder }) => binder.address(ip)?.isUsable());
    onOpened(this, ip, isWithoutLease);
    if (taken?.ok === true) {
      this.#begin(agent, part, ip, destination, taken.value);
      return true;
    }
    if (address !== undefined && agent.divided !== null) void this.#wait(agent, part, address, destination);
    return false;
  }

  /** As a dial does: others of the host are asked. */
  async #wait(agent: Agent, part: HostPart, address: AddressPorts, destination: string): Promise<void> {
    const taken = await address.takeWithin(destination, PORT_WAIT_MS);
    if (!taken.ok || part.process.isOver) return;
    this.#begin(agent, part, address.ip, destination, taken.value);
  }

  #begin(agent: Agent, part: HostPart, ip: string, destination: string, held: HeldPort): void {
    const { chance, onChosen, onBroken } = this.#surroundings;
    this.#checkApart(agent, part, ip, destination, held.port);
    onChosen(this, ip, held.port);
    const openedAtMs = this.machine.trueMs;
    const flow: Flow = { part, destination, ip, port: held.port, openedAtMs, held, isOver: false };
    agent.flows.add(flow);
    const end = (): void => {
      if (flow.isOver) return;
      flow.isOver = true;
      agent.flows.delete(flow);
      // The last packet: FIN, or RST.
      this.#surroundings.transmit(this, ip, flow.held.port);
      flow.held.release();
    };
    flow.held.onReset = () => {
      if (!flow.isOver) onBroken(this, flow, "reset");
      end();
    };
    this.#talk(agent, flow);
    part.process.after(chance.between(50, 6_000), end);
  }

  /** Within a host, too, a port has one user towards a destination, and a unit is one process's. [MP1] */
  #checkApart(agent: Agent, part: HostPart, ip: string, destination: string, port: number): void {
    const { onShared } = this.#surroundings;
    const where = `${ip}:${port} of ${this.machine.name}`;
    for (const flow of agent.flows) {
      if (flow.ip === ip && flow.port === port && flow.destination === destination) {
        onShared(`${where} is used towards ${destination} already`);
      }
    }
    if (this.translatedUnits(ip).has(unitOf(port))) onShared(`the unit of ${where} is the kernel's`);
    for (const other of agent.parts()) {
      if (other === part || other.process.isOver) continue;
      for (const { lease } of other.binder.address(ip)?.leases() ?? []) {
        // A port that was lent is of another process's unit.
        if (unitOf(lease.base) !== unitOf(port)) continue;
        const own = [...(part.binder.address(ip)?.leases() ?? [])];
        if (own.some((block) => unitOf(block.lease.base) === unitOf(port))) {
          onShared(`the unit of ${where} is two processes'`);
        }
      }
    }
  }

  /** Packets of a flow leave by themselves, whatever its process does. */
  #talk(agent: Agent, flow: Flow): void {
    if (flow.isOver || flow.part.process.isOver || agent.process.isOver) return;
    const { transmit, onBroken, chance } = this.#surroundings;
    if (!transmit(this, flow.ip, flow.port)) onBroken(this, flow, "held back");
    this.machine.after(chance.between(100, 4_000), () => this.#talk(agent, flow));
  }

  #haunt(flow: Flow, untilMonotonicMs: number): void {
    if (this.machine.isOff || this.machine.monotonicMs() > untilMonotonicMs) return;
    this.#surroundings.transmit(this, flow.ip, flow.held.port);
    this.machine.after(this.#surroundings.chance.between(500, 6_000), () =>
      this.#haunt(flow, untilMonotonicMs),
    );
  }

  #writeEpoch(ip: string, epoch: number): void {
    this.#disk.epochs.set(ip, Math.max(epoch, this.#disk.epochs.get(ip) ?? 0));
  }

  #newInstance(): string {
    return `instance-${this.machine.name}-${this.#lifeCount}-${this.#surroundings.chance.below(2 ** 32)}`;
  }
}

/**
 * Nothing leaves before the address's keeper has spoken, but for what containers of an earlier agent go
 * on with. [MA4]
 */
async function silence(guard: SimulatedGuard, ip: string): Promise<void> {
  if (!guard.hasRunningFlows(ip)) await guard.allow(ip, [], null);
}

/** Processes of an agent in which flows can begin now. */
function running({ parts }: Agent): HostPart[] {
  return parts().filter(({ process }) => process.isRunning);
}

/**
 * A host: a machine with a guard in its kernel and a state directory on its disk, and the agent
 * that runs on it for a while. Of the agent it is all that decides who may send when: membership,
 * lease keepers, guarded ports and the binder. The traffic paths are stood in for by flows that
 * open, send, and end or are reset.
 */
import { GuardedPorts } from "../../src/agent/machine/guarded-ports.ts";
import { PoolMember } from "../../src/agent/leasing/pool-member.ts";
import type { HeldPort } from "../../src/agent/egress/held-port.ts";
import type { Lease } from "../../src/core/lease-commands.ts";
import { PortBinder } from "../../src/agent/egress/port-binder.ts";
import type { Chance } from "./chance.ts";
import { type Dial, type LinkWorld, SimulatedLink } from "./connection.ts";
import type { Break } from "./flow-checks.ts";
import { GuardKernel, SimulatedGuard } from "./guard-kernel.ts";
import { type Machine, Process } from "./machine.ts";
import type { Network } from "./network.ts";
import { PortsApart } from "./ports-apart.ts";
import { SILENT_LOG } from "./silent-log.ts";

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
  /** A flow that was open cannot go on. */
  readonly onBroken: (host: Host, flow: OpenFlow, how: Break) => void;
  /** A packet wants to leave; the guard decides whether it does. */
  readonly transmit: (host: Host, ip: string, port: number) => boolean;
  readonly watch: (host: Host, url: URL, direction: "sent" | "read", text: string) => void;
  readonly onAgent: (host: Host, what: "started" | "ended") => void;
}

/** Ports towards as many destinations: room is judged towards the busiest. */
const DESTINATIONS = ["203.0.113.1:443/tcp", "203.0.113.2:443/tcp"];
const DISK_DELAY_MS = 30;
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
  readonly held: HeldPort;
  isOver: boolean;
}

/** One agent, from its start until it ends. */
interface Agent {
  readonly process: Process;
  readonly member: PoolMember;
  readonly binder: PortBinder;
  readonly flows: Set<Flow>;
  isDraining: boolean;
  /** Whether its ports hear of commands some time after its guard. */
  readonly areApart: boolean;
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
  readonly #surroundings: HostSurroundings;
  readonly #disk: StateOnDisk;
  #lifeCount = 0;
  /** It is to be started again as soon as it has drained. */
  #isRestartWanted = false;
  #agent: Agent | null = null;

  constructor(
    name: string,
    machine: Machine,
    reach: string,
    surroundings: HostSurroundings,
    isDuplicate = false,
  ) {
    this.name = name;
    this.reach = reach;
    this.isDuplicate = isDuplicate;
    this.machine = machine;
    this.guard = new GuardKernel(machine);
    this.#surroundings = surroundings;
    this.#disk = { instance: this.#newInstance(), epochs: new Map(), slots: new Map() };
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
    return this.#agent?.process.isRunning === true && this.#agent.binder.address(ip)?.isUsable() === true;
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
    const binder = new PortBinder({
      clock: () => this.machine.clock(),
      random: chance.below,
      timers: process,
    });
    const guard = new SimulatedGuard(this.guard, process, chance);
    const world: LinkWorld = {
      network,
      process,
      dial,
      peer: this.name,
      watch: (url, direction, text) => watch(this, url, direction, text),
    };
    const prepared = new Map<string, Promise<void>>();
    const areApart = chance.isLikely(0.5);
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
          const first = prepared.get(ip) ?? guard.allow(ip, [], null);
          prepared.set(ip, first);
          first.catch(() => prepared.delete(ip));
          await first;
        },
        guarded: (ip, ports) => {
          const reached = areApart ? new PortsApart(ports, process, network) : ports;
          return new GuardedPorts(ip, reached, guard, () => {});
        },
      },
      whyAbsent: () => Promise.resolve(null),
      openLink: (options) => new SimulatedLink(options, world),
      clock: () => this.machine.clock(),
      timers: process,
      random: chance.next,
    });
    this.#lifeCount += 1;
    this.#agent = { process, member, binder, flows: new Set(), isDraining: false, areApart };
    onAgent(this, "started");
    member.start();
    this.#openFlowLater(this.#agent);
  }

  /** kill -9: what its connections still have to say is up to the kernel. */
  kill(): void {
    const agent = this.#agent;
    if (agent === null) return;
    this.#agent = null;
    agent.process.kill();
    for (const flow of agent.flows) this.#haunt(flow, this.machine.monotonicMs() + AFTERLIFE_MS);
    this.#surroundings.onAgent(this, "ended");
  }

  /** Power off, at once. */
  switchOff(): void {
    this.machine.isOff = true;
    this.kill();
    this.guard.forget();
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
    agent?.process.run(() => {
      for (let opened = 0; opened < count; opened += 1) this.#openFlow(agent, DESTINATIONS[0]!);
    });
  }

  /** Opens a flow for a request that came through the edge; whether it could. */
  serve(ip: string): boolean {
    const agent = this.#agent;
    return agent?.process.isRunning === true && this.#openFlowOn(agent, ip, DESTINATIONS[1]!);
  }

  #openFlowLater(agent: Agent): void {
    const { chance } = this.#surroundings;
    agent.process.after((1_000 / this.demand) * chance.between(0.5, 1.5), () => {
      this.#openFlow(agent, chance.pick(DESTINATIONS));
      this.#openFlowLater(agent);
    });
  }

  #openFlow(agent: Agent, destination: string): void {
    const addresses = [...agent.binder.addresses()];
    if (addresses.length === 0) return;
    this.#openFlowOn(agent, this.#surroundings.chance.pick(addresses).ip, destination);
  }

  #openFlowOn(agent: Agent, ip: string, destination: string): boolean {
    const { chance, onChosen, onOpened, onBroken } = this.#surroundings;
    const taken = agent.binder.address(ip)?.take(destination);
    onOpened(this, ip, taken?.ok === false && taken.refusal === "lease-lost");
    if (taken?.ok !== true) return false;
    onChosen(this, ip, taken.value.port);
    const openedAtMs = this.machine.trueMs;
    const flow: Flow = { ip, port: taken.value.port, openedAtMs, held: taken.value, isOver: false };
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
    agent.process.after(chance.between(50, 6_000), end);
    return true;
  }

  /** Packets of a flow leave by themselves, whatever its process does. */
  #talk(agent: Agent, flow: Flow): void {
    if (flow.isOver || agent.process.isOver) return;
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

/**
 * A router's kernel under test: one router, three hosts that share an address of each family,
 * and packets that are put on the router's uplink by hand, each kind from a source of its own, so
 * that a capture tells where each kind went.
 */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import type { SteeringEntry, SteeringTable } from "../../src/core/steering.ts";
import { NftKernel } from "../../src/router/kernel/nft-kernel.ts";
import { XdpKernel } from "../../src/router/kernel/xdp-kernel.ts";
import { DEFAULT_ROUTER_CONFIG, type RouterConfig } from "../../src/router/steering/router-config.ts";
import type { SteeringDelta, SteeringKernel } from "../../src/router/steering/steering-kernel.ts";
import type { KernelCommands } from "../../src/router/kernel/kernel-tools.ts";
import { readyForXdp } from "./xdp-cables.ts";
import { commandsIn, pinDirectoryIn } from "./kernel-in-namespace.ts";
import type { Capture } from "./capture.ts";
import { Lab } from "./lab.ts";
import { type Family, FIRST_PORTS, ORDERS } from "./packet-kinds.ts";
import { frame, packet, udp } from "./packets.ts";
import { hostOnLan, SHARED_IPV4, SHARED_IPV6 } from "./plan.ts";

const HOSTS = [1, 2, 3] as const;
/** Of the packets that say that all before them have come. */
const LAST_PORT = 9;

/** Where the hosts are, as the pool says. */
export const NEXT_HOPS = HOSTS.map((number) => ({ host: `h${number}`, ...hostOnLan(number) }));
/** A plain router between its uplink and the hosts' link. */
export const CONFIG: RouterConfig = {
  ...DEFAULT_ROUTER_CONFIG,
  ingressDevices: ["up0"],
  neighbourDevice: "lan0",
};

/** A block of each host on each address. */
export function blocks(): SteeringEntry[] {
  return [SHARED_IPV4, SHARED_IPV6].flatMap((ip) =>
    (["h1", "h2", "h3"] as const).map((host, at) => {
      return { ip, host, base: FIRST_PORTS[host], order: ORDERS[host], epoch: at + 1 };
    }),
  );
}

/** The pool's table with these entries. */
export function tableOf(entries: readonly SteeringEntry[]): SteeringTable {
  return { sequence: 1, ips: [SHARED_IPV4, SHARED_IPV6], entries, nextHops: NEXT_HOPS };
}

/** The move of a block to another host. */
export function moveOf(entry: SteeringEntry, host: string): SteeringDelta {
  const placed = (name: string) => ({
    entry: { ...entry, host: name },
    nextHop: NEXT_HOPS.find((nextHop) => nextHop.host === name)!,
  });
  return { removed: [placed(entry.host)], added: [placed(host)], removedIps: [], addedIps: [] };
}

/** A packet for each host that comes after all that were sent before. */
export function lastOnes({ shared, source }: Family): Buffer[] {
  const route = { from: source(0), to: shared };
  return Object.values(FIRST_PORTS).map((port) =>
    packet(route, udp(route, { sourcePort: LAST_PORT, destinationPort: port + 1 })),
  );
}

/** What may steer: every test of packets runs with each. */
export const BACK_ENDS = ["nft", "xdp"] as const;
export type BackEnd = (typeof BACK_ENDS)[number];

/** One laboratory, with the kernel that a test has steer there. */
export class RouterRig {
  readonly lab: Lab;
  /** The one that was made last. */
  kernel: SteeringKernel;
  readonly #backEnd: BackEnd;
  readonly #macs: { readonly carrier: string; readonly router: string };

  private constructor(lab: Lab, backEnd: BackEnd, macs: { carrier: string; router: string }) {
    this.lab = lab;
    this.#backEnd = backEnd;
    this.#macs = macs;
    this.kernel = this.newKernel();
  }

  static async create(backEnd: BackEnd = "nft"): Promise<RouterRig> {
    const lab = await Lab.create({ hosts: HOSTS.length, routers: 1 });
    if (backEnd === "xdp") await readyForXdp(lab);
    const macs = { carrier: await lab.macOf("carrier", "r1"), router: await lab.macOf("r1", "up0") };
    // What a router asks of its neighbours, and when, is not what is asked here.
    const neighbours = await Promise.all(
      HOSTS.map(async (number) => {
        const { ipv4, ipv6 } = hostOnLan(number);
        const at = `lladdr ${await lab.macOf(`h${number}`, "lan0")} dev lan0 nud permanent`;
        return [ipv4, ipv6].map((ip) => `neigh replace ${ip} ${at}`);
      }),
    );
    await lab.exec("r1", ["ip", "-batch", "-"], `${neighbours.flat().join("\n")}\n`);
    return new RouterRig(lab, backEnd, macs);
  }

  /** A router's beginning, with the whole table or with other words of the operator. */
  async begin(config: RouterConfig = CONFIG): Promise<void> {
    this.kernel = this.newKernel(config);
    await this.kernel.repair(tableOf(blocks()));
  }

  /** Leaves nothing in the kernel. */
  async clear(): Promise<void> {
    await this.kernel.remove();
    await this.kernel.close();
  }

  newKernel(config: RouterConfig = CONFIG, backEnd = this.#backEnd): SteeringKernel {
    if (backEnd === "nft") return this.newNftKernel(config);
    const pinDirectory = this.pinDirectoryOf(config);
    return new XdpKernel({ config, commands: this.commands, pinDirectory, isStrict: true });
  }

  newNftKernel(config: RouterConfig = CONFIG): NftKernel {
    return new NftKernel(config, this.commands);
  }

  /** The tools in the router's network; they see the same files as this process. */
  get commands(): KernelCommands {
    return commandsIn(this.lab.namespaceOf("r1"));
  }

  /** A map of the program that steers. */
  mapFile(name: string): string {
    const directory = this.pinDirectoryOf(CONFIG);
    const version = readdirSync(directory).find((each) => each.includes("-"));
    return join(directory, version!, "maps", name);
  }

  /** Where a router of this network pins what it has. */
  pinDirectoryOf(config: RouterConfig): string {
    return pinDirectoryIn(this.lab.namespaceOf("r1"), config.table);
  }

  /** Puts packets on the uplink, as the carrier would. */
  async arrive(packets: readonly Buffer[]): Promise<void> {
    const frames = packets.map((bytes) => frame(this.#macs.carrier, this.#macs.router, bytes));
    await this.lab.inject("carrier", "r1", frames);
  }

  /** The same with frames, between the addresses of hardware that they are given. */
  async arriveFramed(frames: (from: string, to: string) => readonly Buffer[]): Promise<void> {
    await this.lab.inject("carrier", "r1", frames(this.#macs.carrier, this.#macs.router));
  }

  /** One capture at each host, of what comes for the shared address of a family. */
  async captureAtHosts(family: Family): Promise<Capture[]> {
    return Promise.all(
      HOSTS.map((number) => this.lab.capture(`h${number}`, "lan0", `dst host ${family.shared}`)),
    );
  }
}

/** Packets that arrive while the test goes on. */
export class Sending {
  isOver = false;
  readonly end: Promise<void>;

  constructor(rig: RouterRig, packets: readonly Buffer[]) {
    this.end = rig.arrive(packets).finally(() => {
      this.isOver = true;
    });
  }
}

/**
 * Two routers of one kernel side by side, one that steers and one that only forwards, between
 * a generator of small packets and a machine that drops them. Each stage is a network
 * namespace, and all of it runs in the generator's own system calls on one processor: what a
 * packet costs there is the generator, the router under test and the drop together. A third
 * way that ends at once gives the cost of the generator alone.
 */
import { execFileSync } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { SteeringEntry, SteeringTable } from "../src/core/steering.ts";
import { NftKernel } from "../src/router/kernel/nft-kernel.ts";
import { XdpKernel } from "../src/router/kernel/xdp-kernel.ts";
import { DEFAULT_ROUTER_CONFIG } from "../src/router/steering/router-config.ts";
import type { SteeringKernel } from "../src/router/steering/steering-kernel.ts";
import {
  addNamespace,
  execInside,
  newPrefix,
  removeLeftovers,
  removeNamespace,
} from "../test/lab/namespaces.ts";
import { commandsIn, pinDirectoryIn } from "../test/lab/kernel-in-namespace.ts";
import { FrameGenerator } from "./frame-generator.ts";
import { expectGenerator, generate, trafficOf } from "./generator.ts";

/** Holders of each address: 31 blocks of 2,048 ports and one of 1,024. */
export const HOLDER_COUNT = 32;
/** Routers that steer. */
export const BACK_ENDS = ["xdp", "nft"] as const;
export type BackEnd = (typeof BACK_ENDS)[number];
/** The ways that a packet can take: by a router that steers, by one that only forwards, or nowhere. */
export type Way = BackEnd | "plain" | "nowhere";
/** Where packets come from. */
export type Source = "socket" | "frames";

const ROUTERS = [...BACK_ENDS, "plain"] as const;
const WAYS: readonly Way[] = [...ROUTERS, "nowhere"];
const CONFIG = { ...DEFAULT_ROUTER_CONFIG, ingressDevices: ["in0"], neighbourDevice: "out0" };
/** What the generator's own scheduling may shift between the two ends of a way. */
const LARGEST_LOSS = 0.02;
const FRAME_COUNT = 300_000;
const MOST_ATTEMPTS = 50;

/** From `create` to `destroy`. */
export class SteeringRig {
  readonly #kernels = new Map<BackEnd, SteeringKernel>();
  readonly #prefix: string;
  readonly #directory: string;
  readonly #pins: string;
  #frames: FrameGenerator | null = null;

  private constructor(prefix: string, directory: string) {
    this.#prefix = prefix;
    this.#directory = directory;
    this.#pins = join("/sys/fs/bpf", `${prefix}bench`);
  }

  /** Makes the namespaces; needs root, trafgen, gcc, clang and bpftool. */
  static async create(): Promise<SteeringRig> {
    expectGenerator();
    removeLeftovers();
    const rig = new SteeringRig(newPrefix(), await mkdtemp(join(tmpdir(), "ipshard-steering-")));
    try {
      await rig.#build();
    } catch (fault) {
      await rig.destroy();
      throw fault;
    }
    return rig;
  }

  /** A router's kernel as a new process would have it. */
  newKernel(backEnd: BackEnd): SteeringKernel {
    const commands = commandsIn(this.#prefix + backEnd);
    if (backEnd === "nft") return new NftKernel(CONFIG, commands);
    const pinDirectory = pinDirectoryIn(this.#prefix + backEnd, CONFIG.table);
    return new XdpKernel({ config: CONFIG, commands, pinDirectory, isStrict: true });
  }

  /** The kernel that all measurements of a back end share. */
  kernelOf(backEnd: BackEnd): SteeringKernel {
    return this.#kernels.get(backEnd)!;
  }

  /** The table of a pool of so many addresses. */
  tableOf(addressCount: number): SteeringTable {
    const ips = Array.from({ length: addressCount }, (_, at) => addressAt(at));
    const entries = ips.flatMap((ip) => Array.from({ length: HOLDER_COUNT }, (_, at) => entryAt(ip, at)));
    const nextHops = Array.from({ length: HOLDER_COUNT }, (_, at) => holderNextHopOf(at));
    return { sequence: 1, ips, entries, nextHops };
  }

  /** The block of one holder goes to another and, the next time, back; in ms. */
  async move(backEnd: BackEnd, ip: string, isThere: boolean): Promise<number> {
    const entry = entryAt(ip, 7);
    const placed = (holder: number) => ({
      entry: { ...entry, host: `h${holder}` },
      nextHop: holderNextHopOf(holder),
    });
    const [from, to] = isThere ? [8, 7] : [7, 8];
    const startMs = performance.now();
    await this.#kernels.get(backEnd)!.apply({
      removed: [placed(from)],
      added: [placed(to)],
      removedIps: [],
      addedIps: [],
    });
    return performance.now() - startMs;
  }

  /** Sends for a while to addresses and ports at random, all of which must come through; µs of processor a packet, the generator's included. */
  async run(way: Way, source: Source, addressCount: number, windowMs: number): Promise<number> {
    return source === "socket"
      ? this.#runSocket(way, addressCount, windowMs)
      : this.#runFrames(way, addressCount);
  }

  async #runSocket(way: Way, addressCount: number, windowMs: number): Promise<number> {
    const namespace = `${this.#prefix}generator`;
    const [before, sentBefore] = [this.#arrived(way), trafficOf(namespace, way).txPackets];
    const costUs = await generate({
      namespace,
      device: way,
      packets: packetConfig(addressCount),
      directory: this.#directory,
      windowMs,
    });
    const sent = trafficOf(namespace, way).txPackets - sentBefore;
    const arrived = this.#arrived(way) - before;
    if (way !== "nowhere" && Math.abs(arrived - sent) > LARGEST_LOSS * sent) {
      throw new Error(`of ${sent} packets ${arrived} have come through (${way})`);
    }
    return costUs;
  }

  /** Frames need programs at the ends: one that takes them in where there is none, and one that drops them. */
  async #runFrames(way: Way, addressCount: number): Promise<number> {
    const frames = this.#frames!;
    const [sinkNamespace, sink] = way === "nowhere" ? ["nowhere", "in0"] : ["hosts", way];
    const isPassing = way === "plain" || way === "nft";
    if (isPassing) await frames.passAt(this.#prefix + way, "in0");
    const isSinkThere = way === "xdp";
    if (!isSinkThere) await frames.dropAt(this.#prefix + sinkNamespace, sink);
    try {
      // While others have the processor, the kernel makes more than it carries: that tells nothing of the router.
      for (let attempt = 0; attempt < MOST_ATTEMPTS; attempt += 1) {
        const result = await frames.send(`${this.#prefix}generator`, way, addressCount, FRAME_COUNT);
        if (result.arrivedShare >= 1 - LARGEST_LOSS) return result.costUs;
      }
      throw new Error(`frames are lost on their way (${way}), or the machine is too busy`);
    } finally {
      if (!isSinkThere) await frames.leave(this.#prefix + sinkNamespace, sink);
      if (isPassing) await frames.leave(this.#prefix + way, "in0");
    }
  }

  /** Removes everything. */
  async destroy(): Promise<void> {
    for (const kernel of this.#kernels.values()) {
      await kernel.remove();
      await kernel.close();
    }
    for (const role of ["generator", "hosts", ...WAYS]) removeNamespace(this.#prefix + role);
    await rm(this.#pins, { recursive: true, force: true });
    await rm(this.#directory, { recursive: true, force: true });
  }

  async #build(): Promise<void> {
    for (const role of ["generator", "hosts", ...WAYS]) await addNamespace(this.#prefix + role);
    for (const way of WAYS) {
      await this.#link("generator", way, way, "in0", "02:00:00:00:00:01");
      if (way !== "nowhere") await this.#link(way, "out0", "hosts", way, null);
    }
    const drop = (device: string): string => `table netdev sink_${device} {
      chain ${device} {
        type filter hook ingress device "${device}" priority 0
        ip daddr 198.18.0.0/15 drop
      }
    }`;
    for (const way of ROUTERS) {
      await this.#exec(way, "ip", "addr", "add", "10.0.0.254/24", "dev", "out0");
      await this.#exec(way, "ip", "addr", "add", "10.9.0.1/24", "dev", "in0");
      await this.#exec(way, "sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv4.conf.in0.rp_filter=0");
      await this.#exec(way, "sysctl", "-qw", "net.ipv4.conf.all.rp_filter=0");
      await this.#exec(way, "ip", "route", "add", "default", "dev", "in0");
      await execInside(`${this.#prefix}hosts`, ["nft", "-f", "-"], drop(way));
      await this.#know(way);
    }
    // The whole range by one route and one neighbour: forwarding cannot be had for less.
    await this.#exec("plain", "ip", "route", "add", "198.18.0.0/15", "via", nextHopOf(0));
    await execInside(`${this.#prefix}nowhere`, ["nft", "-f", "-"], drop("in0"));
    for (const backEnd of BACK_ENDS) this.#kernels.set(backEnd, this.newKernel(backEnd));
    this.#frames = await FrameGenerator.create(this.#directory, this.#pins);
    await this.#frames.dropAt(`${this.#prefix}hosts`, "xdp");
  }

  /** Who the neighbours are is known from the start. */
  async #know(way: Way): Promise<void> {
    const words = ["netns", "exec", `${this.#prefix}hosts`, "cat", `/sys/class/net/${way}/address`];
    const mac = execFileSync("ip", words, { encoding: "utf8" }).trim();
    for (let holder = 0; holder < HOLDER_COUNT; holder += 1) {
      const ip = nextHopOf(holder);
      await this.#exec(way, "ip", "neigh", "replace", ip, "lladdr", mac, "dev", "out0", "nud", "permanent");
    }
  }

  async #link(a: string, aDevice: string, b: string, bDevice: string, bMac: string | null): Promise<void> {
    const address = bMac === null ? [] : ["address", bMac];
    const peer = ["peer", "name", bDevice, ...address, "netns", this.#prefix + b];
    await this.#exec(a, "ip", "link", "add", "name", aDevice, "type", "veth", ...peer);
    await this.#exec(a, "ip", "link", "set", "dev", aDevice, "up");
    await this.#exec(b, "ip", "link", "set", "dev", bDevice, "up");
  }

  async #exec(role: string, ...argv: string[]): Promise<void> {
    await execInside(this.#prefix + role, argv);
  }

  #arrived(way: Way): number {
    return way === "nowhere" ? 0 : trafficOf(`${this.#prefix}hosts`, way).rxPackets;
  }
}

/** What a pool of this size is called. */
export function nameOf(addressCount: number): string {
  return `${addressCount.toLocaleString("en")} ${addressCount === 1 ? "address" : "addresses"}`;
}

/** The shared address with this number. */
export function addressAt(at: number): string {
  return `198.18.${at >> 8}.${at & 255}`;
}

/** The block of one holder. */
export function entryAt(ip: string, holder: number): SteeringEntry {
  const block = holder === 0 ? { base: 1024, order: 10 } : { base: holder * 2048, order: 11 };
  return { ip, ...block, host: `h${holder}`, epoch: holder + 1 };
}

/** Where a holder is, for each router. */
export function holderNextHopOf(holder: number): { host: string; ipv4: string; ipv6: null } {
  return { host: `h${holder}`, ipv4: nextHopOf(holder), ipv6: null };
}

function nextHopOf(holder: number): string {
  return `10.0.0.${holder + 1}`;
}

/** Packets of 60 octets, the least that Ethernet carries. */
function packetConfig(addressCount: number): string {
  const first = 0xc612_0000;
  const to = addressCount === 1 ? "198.18.0.0" : `drnd(${first}, ${first + addressCount - 1})`;
  return `{ eth(da=02:00:00:00:00:01, sa=02:00:00:00:00:02, type=0x0800),
    ipv4(sa=203.0.113.1, da=${to}, ttl=64, proto=17),
    udp(sp=443, dp=drnd(1024, 65535)), fill(0x41, 18) }\n`;
}

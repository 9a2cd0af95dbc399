/**
 * Two routers of one kernel side by side, one that steers and one that only forwards, between
 * a generator of small packets and a machine that drops them. Each stage is a network
 * namespace, and all of it runs in the generator's own system calls on one processor: what a
 * packet costs there is the generator, the router under test and the drop together. A third
 * way that ends at once gives the cost of the generator alone.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { SteeringEntry, SteeringTable } from "../src/core/steering.ts";
import { NftKernel } from "../src/router/kernel/nft-kernel.ts";
import { DEFAULT_ROUTER_CONFIG } from "../src/router/steering/router-config.ts";
import {
  addNamespace,
  execInside,
  newPrefix,
  removeLeftovers,
  removeNamespace,
} from "../test/lab/namespaces.ts";
import { expectGenerator, generate, trafficOf } from "./generator.ts";

/** Holders of each address: 31 blocks of 2,048 ports and one of 1,024. */
export const HOLDER_COUNT = 32;
/** The ways that a packet can take. */
export type Way = "steering" | "plain" | "nowhere";

const WAYS: readonly Way[] = ["steering", "plain", "nowhere"];
/** What the generator's own scheduling may shift between the two ends of a way. */
const LARGEST_LOSS = 0.02;

/** From `create` to `destroy`. */
export class SteeringRig {
  readonly kernel: NftKernel;
  readonly #prefix: string;
  readonly #directory: string;

  private constructor(prefix: string, directory: string) {
    this.#prefix = prefix;
    this.#directory = directory;
    const within = ["ip", "netns", "exec", `${prefix}steering`];
    const config = { ...DEFAULT_ROUTER_CONFIG, ingressDevices: ["in0"], neighbourDevice: "out0" };
    this.kernel = new NftKernel(config, { nft: [...within, "nft"], ip: [...within, "ip"] });
  }

  /** Makes the namespaces; needs root and trafgen. */
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

  /** The table of a pool of so many addresses. */
  tableOf(addressCount: number): SteeringTable {
    const ips = Array.from({ length: addressCount }, (_, at) => addressAt(at));
    const entries = ips.flatMap((ip) => Array.from({ length: HOLDER_COUNT }, (_, at) => entryAt(ip, at)));
    const nextHops = Array.from({ length: HOLDER_COUNT }, (_, at) => holderNextHopOf(at));
    return { sequence: 1, ips, entries, nextHops };
  }

  /** The block of one holder goes to another and, the next time, back; in ms. */
  async move(ip: string, isThere: boolean): Promise<number> {
    const entry = entryAt(ip, 7);
    const placed = (holder: number) => ({
      entry: { ...entry, host: `h${holder}` },
      nextHop: holderNextHopOf(holder),
    });
    const [from, to] = isThere ? [8, 7] : [7, 8];
    const startMs = performance.now();
    await this.kernel.apply({ removed: [placed(from)], added: [placed(to)], removedIps: [], addedIps: [] });
    return performance.now() - startMs;
  }

  /** Sends for a while to addresses and ports at random, all of which must come through; µs of processor a packet, the generator's included. */
  async run(way: Way, addressCount: number, windowMs: number): Promise<number> {
    const before = this.#arrived(way);
    const cpuPerPacketUs = await generate({
      namespace: `${this.#prefix}generator`,
      device: way,
      packets: packetConfig(addressCount),
      directory: this.#directory,
      windowMs,
    });
    const sent = this.#sent(way);
    const arrived = this.#arrived(way);
    if (way !== "nowhere" && Math.abs(arrived - sent) > LARGEST_LOSS * (arrived - before)) {
      throw new Error(`of ${sent} packets ${arrived} have come through (${way})`);
    }
    return cpuPerPacketUs;
  }

  /** Removes everything. */
  async destroy(): Promise<void> {
    await this.kernel.close();
    for (const role of ["generator", "hosts", ...WAYS]) removeNamespace(this.#prefix + role);
    await rm(this.#directory, { recursive: true, force: true });
  }

  async #build(): Promise<void> {
    for (const role of ["generator", "hosts", ...WAYS]) await addNamespace(this.#prefix + role);
    for (const way of WAYS) {
      await this.#link("generator", way, way, "in0", "02:00:00:00:00:01");
      if (way !== "nowhere") await this.#link(way, "out0", "hosts", way, null);
    }
    const drop = (device: string): string => `table netdev sink {
      chain ${device} {
        type filter hook ingress device "${device}" priority 0
        ip daddr 198.18.0.0/15 drop
      }
    }`;
    for (const [at, way] of (["steering", "plain"] as const).entries()) {
      const net = `10.${at}.0`;
      const holders = Array.from({ length: HOLDER_COUNT }, (_, holder) => nextHopOf(holder, at));
      for (const ip of holders) await this.#exec("hosts", "ip", "addr", "add", `${ip}/24`, "dev", way);
      await this.#exec(way, "ip", "addr", "add", `${net}.254/24`, "dev", "out0");
      await this.#exec(way, "ip", "addr", "add", `10.9.${at}.1/24`, "dev", "in0");
      await this.#exec(way, "sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv4.conf.in0.rp_filter=0");
      await this.#exec(way, "sysctl", "-qw", "net.ipv4.conf.all.rp_filter=0");
      await this.#exec(way, "ip", "route", "add", "default", "dev", "in0");
      await execInside(`${this.#prefix}hosts`, ["nft", "-f", "-"], drop(way));
    }
    // The whole range by one route and one neighbour: forwarding cannot be had for less.
    await this.#exec("plain", "ip", "route", "add", "198.18.0.0/15", "via", nextHopOf(0, 1));
    await execInside(`${this.#prefix}nowhere`, ["nft", "-f", "-"], drop("in0"));
  }

  async #link(a: string, aDevice: string, b: string, bDevice: string, bMac: string | null): Promise<void> {
    const address = bMac === null ? [] : ["address", bMac];
    const peer = ["peer", "name", bDevice, ...address, "netns", this.#prefix + b];
    await this.#exec(a, "ip", "link", "add", aDevice, "type", "veth", ...peer);
    await this.#exec(a, "ip", "link", "set", aDevice, "up");
    await this.#exec(b, "ip", "link", "set", bDevice, "up");
  }

  async #exec(role: string, ...argv: string[]): Promise<void> {
    await execInside(this.#prefix + role, argv);
  }

  #sent(way: Way): number {
    return trafficOf(`${this.#prefix}generator`, way).txPackets;
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

/** Where a holder is for the router that steers. */
export function holderNextHopOf(holder: number): { host: string; ipv4: string; ipv6: null } {
  return { host: `h${holder}`, ipv4: nextHopOf(holder, 0), ipv6: null };
}

function nextHopOf(holder: number, way: number): string {
  return `10.${way}.0.${holder + 1}`;
}

/** Packets of 60 octets, the least that Ethernet carries. */
function packetConfig(addressCount: number): string {
  const first = 0xc612_0000;
  const to = addressCount === 1 ? "198.18.0.0" : `drnd(${first}, ${first + addressCount - 1})`;
  return `{ eth(da=02:00:00:00:00:01, sa=02:00:00:00:00:02, type=0x0800),
    ipv4(sa=203.0.113.1, da=${to}, ttl=64, proto=17),
    udp(sp=443, dp=drnd(1024, 65535)), fill(0x41, 18) }\n`;
}

/**
 * Three hosts of one kernel side by side, between a generator and a machine that drops all: one whose
 * guard judges at postrouting, one whose guard judges on the device, one without. Each is a network
 * namespace.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  frameText,
  GUARD_TABLE,
  type Permission,
  permissionText,
} from "../src/agent/machine/guard-ruleset.ts";
import {
  addNamespace,
  execInside,
  newPrefix,
  removeLeftovers,
  removeNamespace,
} from "../test/lab/namespaces.ts";
import { expectGenerator, generate, trafficOf } from "./generator.ts";

/** Where the guard judges; `nowhere` ends at once and gives the cost of the generator alone. */
export type Place = "postrouting" | "egress" | "unguarded" | "nowhere";
/** A packet that the host makes itself, and one that it forwards and translates. */
export type Kind = "made here" | "translated";

const PLACES: readonly Place[] = ["postrouting", "egress", "unguarded", "nowhere"];
const SHARED = "192.0.2.1";
const BLOCK = { base: 10_240, order: 12 };
const UNITS = Array.from({ length: 64 }, (_, at) => BLOCK.base / 64 + at);
const HOUR_MS = 3_600_000;
const MAC = "02:00:00:00:00:01";
/** What the generator's own scheduling may shift between the two ends. */
const LARGEST_LOSS = 0.02;

/** From `create` to `destroy`. */
export class GuardRig {
  readonly #prefix = newPrefix();
  readonly #directory: string;

  private constructor(directory: string) {
    this.#directory = directory;
  }

  /** Makes the namespaces; needs root and trafgen. */
  static async create(): Promise<GuardRig> {
    expectGenerator();
    removeLeftovers();
    const rig = new GuardRig(await mkdtemp(join(tmpdir(), "ipshard-guard-")));
    try {
      await rig.#build();
    } catch (fault) {
      await rig.destroy();
      throw fault;
    }
    return rig;
  }

  /** Has all hosts follow the rules for packets of one kind. */
  async prepare(kind: Kind): Promise<void> {
    for (const place of PLACES) {
      const rules = ["flush ruleset", ...rulesFor(place, kind)];
      await execInside(this.#prefix + place, ["nft", "-f", "-"], `${rules.join("\n")}\n`);
    }
  }

  /** Sends for a while; all must come through. µs of processor a packet, the generator's included. */
  async run(place: Place, kind: Kind, windowMs: number): Promise<number> {
    const before = this.#passed(place);
    const cost = await generate({
      namespace: `${this.#prefix}generator`,
      device: place,
      packets: PACKETS[kind],
      directory: this.#directory,
      windowMs,
    });
    const after = this.#passed(place);
    const [sent, arrived] = [after.sent - before.sent, after.arrived - before.arrived];
    if (place !== "nowhere" && Math.abs(sent - arrived) > LARGEST_LOSS * sent) {
      throw new Error(`of ${sent} packets ${arrived} have come through (${place}, ${kind})`);
    }
    return cost;
  }

  /** Removes everything. */
  async destroy(): Promise<void> {
    for (const role of ["generator", "sink", ...PLACES]) removeNamespace(this.#prefix + role);
    await rm(this.#directory, { recursive: true, force: true });
  }

  #passed(place: Place): { sent: number; arrived: number } {
    const { txPackets } = trafficOf(`${this.#prefix}generator`, place);
    return {
      sent: txPackets,
      arrived: place === "nowhere" ? 0 : trafficOf(`${this.#prefix}sink`, place).rxPackets,
    };
  }

  async #build(): Promise<void> {
    for (const role of ["generator", "sink", ...PLACES]) await addNamespace(this.#prefix + role);
    for (const [at, place] of PLACES.entries()) {
      await this.#link("generator", place, place, "in0");
      await this.#exec(place, "ip", "link", "set", "lo", "up");
      await this.#exec(place, "ip", "addr", "add", `10.9.${at}.1/24`, "dev", "in0");
      await this.#exec(place, "ip", "addr", "add", `${SHARED}/32`, "dev", "lo");
      if (place === "nowhere") continue;
      await this.#link("sink", place, place, "out0");
      await this.#exec("sink", "nft", sinkStatement(place));
      await this.#exec(place, "sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv4.conf.all.rp_filter=0");
      await this.#exec(place, "sysctl", "-qw", "net.ipv4.conf.in0.rp_filter=0");
      await this.#exec(place, "ip", "addr", "add", `10.8.${at}.1/24`, "dev", "out0");
      await this.#exec(place, "ip", "neigh", "add", `10.8.${at}.2`, "lladdr", MAC, "dev", "out0");
      await this.#exec(place, "ip", "route", "add", "198.18.0.0/15", "via", `10.8.${at}.2`);
      await this.#exec(place, "ip", "route", "add", "10.7.0.0/24", "dev", "in0");
    }
  }

  async #link(a: string, aDevice: string, b: string, bDevice: string): Promise<void> {
    const peer = ["peer", "name", bDevice, "address", MAC, "netns", this.#prefix + b];
    await this.#exec(a, "ip", "link", "add", aDevice, "type", "veth", ...peer);
    await this.#exec(a, "ip", "link", "set", aDevice, "up");
    await this.#exec(b, "ip", "link", "set", bDevice, "up");
  }

  async #exec(role: string, ...argv: string[]): Promise<void> {
    await execInside(this.#prefix + role, argv);
  }
}

function sinkStatement(device: string): string {
  return `add table netdev sink; add chain netdev sink ${device} { type filter hook ingress device "${device}" priority 0; }; add rule netdev sink ${device} drop`;
}

function rulesFor(place: Place, kind: Kind): string[] {
  if (place === "nowhere") {
    return [
      "table netdev sink { chain in0 { type filter hook ingress device in0 priority 0; policy drop; }; }",
    ];
  }
  const translation = kind === "translated" ? translationRules() : [];
  if (place === "unguarded") return translation;
  const permission = permissionText(permissionFor(kind));
  const guard = [frameText([]), permission];
  return [...translation, ...guard, ...(place === "egress" ? onDevice() : [])];
}

function permissionFor(kind: Kind): Permission {
  return {
    ip: SHARED,
    blocks: [BLOCK],
    translated: kind === "translated" ? UNITS : [],
    remainingMs: HOUR_MS,
    wallEndMs: Date.now() + HOUR_MS,
  };
}

function translationRules(): string[] {
  const last = BLOCK.base + 2 ** BLOCK.order - 1;
  return [
    "add table inet translation",
    "add chain inet translation postrouting { type nat hook postrouting priority 99; }",
    `add rule inet translation postrouting ip saddr 10.7.0.0/24 meta l4proto udp snat ip to ${SHARED}:${BLOCK.base}-${last} fully-random`,
  ];
}

/** The judge's rules on the device in the place of postrouting: all that can be asked there, which is all but tracking. */
function onDevice(): string[] {
  const moved = permissionText({ ...permissionFor("made here") }).replaceAll(
    `inet ${GUARD_TABLE}`,
    `netdev ${GUARD_TABLE}`,
  );
  const netdev = `netdev ${GUARD_TABLE}`;
  const kinds = ["departures4", "arrivals4", "passing4"];
  return [
    ...["departures", "forward"].map((chain) => `delete chain inet ${GUARD_TABLE} ${chain}`),
    `add table ${netdev}`,
    ...kinds.map((map) => `add map ${netdev} ${map} { type ipv4_addr : verdict; }`),
    `add set ${netdev} shared4 { type ipv4_addr; }`,
    `add chain ${netdev} transit`,
    `add chain ${netdev} egress { type filter hook egress device "out0" priority 0; policy accept; }`,
    `add rule ${netdev} egress ip saddr vmap @departures4`,
    moved,
  ];
}

const HEAD = `eth(da=${MAC}, sa=02:00:00:00:00:02, type=0x0800)`;
/** A question that the kernel answers by itself, and datagrams of 64 flows. */
const PACKETS: Readonly<Record<Kind, string>> = {
  "made here": `{ ${HEAD}, ipv4(sa=198.18.0.1, da=${SHARED}, ttl=64), icmp4(echorequest, id=${BLOCK.base + 100}), fill(0x41, 18) }\n`,
  translated: `{ ${HEAD}, ipv4(sa=10.7.0.2, da=198.18.0.1, ttl=64, proto=17), udp(sp=drnd(5000, 5063), dp=443), fill(0x41, 18) }\n`,
};

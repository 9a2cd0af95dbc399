/**
 * What the guard has to know of the machine's devices: where fragments are caught, which the
 * kernel makes of a packet behind postrouting, and by which devices packets with a shared source may
 * come to be forwarded.
 */
import assert from "node:assert/strict";
import { readdir } from "node:fs/promises";
import { isIPv4 } from "node:net";
import { readSetting, runCommand } from "../../linux/kernel-commands.ts";
import { ruleProbe } from "../../linux/nftables/statements.ts";
import { GUARD_TABLE, isDeviceName, nameOfAddress, type Transit } from "./guard-ruleset.ts";

const NETDEV = `netdev ${GUARD_TABLE}`;
/** Beside devices, settings are kept under these names. */
const NO_DEVICES = new Set(["all", "default"]);

/**
 * Drops what the kernel splits on its way out: it does so behind postrouting, so this sits on the
 * devices themselves. Replaces what was there, counters excepted. [GU2]
 */
export function fragmentText(ips: readonly string[], devices: readonly string[]): string {
  assert(devices.every(isDeviceName));
  const names = devices.map((device) => `"${device}"`).join(", ");
  const all = [
    `add table ${NETDEV}`,
    ...ips.map((ip) => `add counter ${NETDEV} ${nameOfAddress(ip)}_fragments`),
    // A chain that is there cannot be given other devices on every kernel; `add` makes `delete` succeed.
    `add chain ${NETDEV} egress`,
    `flush chain ${NETDEV} egress`,
    `delete chain ${NETDEV} egress`,
    `add chain ${NETDEV} egress { type filter hook egress devices = { ${names} } priority 0; policy accept; }`,
    ...ips.map((ip) => {
      const isFragment = isIPv4(ip) ? "ip frag-off & 0x3fff != 0" : "exthdr frag exists";
      const from = `${isIPv4(ip) ? "ip" : "ip6"} saddr ${ip}`;
      return `add rule ${NETDEV} egress ${from} ${isFragment} counter name ${nameOfAddress(ip)}_fragments drop`;
    }),
  ];
  return `${all.join("\n")}\n`;
}

/** All devices on which something can leave the machine, in a steady order. */
export async function listDevices(): Promise<string[]> {
  const links = JSON.parse(await runCommand(["ip", "-j", "link", "show"])) as {
    readonly ifname: string;
    readonly flags: readonly string[];
  }[];
  const leading = links.filter(({ flags }) => !flags.includes("LOOPBACK"));
  return leading.map(({ ifname }) => ifname).toSorted();
}

/** A statement under which the kernel has the chain and one rule at least. */
export function fragmentProbe(): string {
  return ruleProbe("netdev", GUARD_TABLE, "egress", 0);
}

/**
 * Devices by which the kernel takes packets that have one of its own addresses as their source: with
 * IPv4 it asks for this setting, and an operator makes it where other hosts of a shared address are.
 * [GU10]
 */
export async function transitDevices(): Promise<Transit> {
  if (await isLocalAccepted("all")) return "all";
  const names = (await readdir("/proc/sys/net/ipv4/conf")).filter((name) => !NO_DEVICES.has(name)).toSorted();
  const accepted = await Promise.all(names.map(isLocalAccepted));
  return names.filter((_, at) => accepted[at]);
}

async function isLocalAccepted(device: string): Promise<boolean> {
  return (await readSetting(`net/ipv4/conf/${device}/accept_local`)) === "1";
}

/** The programs by which a router speaks to the kernel, and what it asks of devices by them. */
import { KernelFault, runCommand } from "../../linux/kernel-commands.ts";
import type { RouterConfig } from "../steering/router-config.ts";

/** How the programs are called, for a router in another network namespace than this process. */
export interface KernelCommands {
  readonly nft: readonly string[];
  readonly ip: readonly string[];
  readonly bpftool: readonly string[];
  /** Reads a file that depends on who reads it. */
  readonly cat: readonly string[];
}

/** For the network namespace of this process. */
export const PLAIN_COMMANDS: KernelCommands = {
  nft: ["nft"],
  ip: ["ip"],
  bpftool: ["bpftool"],
  cat: ["cat"],
};

/** A device, as `ip` lists it. */
export interface ListedLink {
  readonly ifname: string;
  readonly ifindex: number;
  readonly altnames?: readonly string[];
  /** `ether` where frames have a head of Ethernet. */
  readonly link_type: string;
  readonly xdp?: {
    readonly mode: number;
    readonly prog?: { readonly id: number; readonly name?: string };
  };
}

/** All devices. */
export async function listLinks(ip: readonly string[]): Promise<ListedLink[]> {
  return JSON.parse(await runCommand([...ip, "-j", "link", "show"])) as ListedLink[];
}

/** The device of a name, or of another name that it has. */
export function linkOf(links: readonly ListedLink[], name: string): ListedLink | undefined {
  return links.find(({ ifname, altnames = [] }) => ifname === name || altnames.includes(name));
}

/** Devices on which hosts are neighbours. */
export function neighbourDevices({ neighbourDevice, hosts }: RouterConfig): string[] {
  const ways = [...hosts.values()].flatMap((way) => (way.kind === "neighbour" ? [way.device] : []));
  return [...new Set([...(neighbourDevice === null ? [] : [neighbourDevice]), ...ways])];
}

/**
 * Rules for a device that is not there catch nothing, and there are kernels that take them all
 * the same: the router would be ready, and steer no packet. [RT14]
 */
export async function expectDevices(config: RouterConfig, ip: readonly string[]): Promise<ListedLink[]> {
  const links = await listLinks(ip);
  const wanted = [...config.ingressDevices, ...neighbourDevices(config)];
  const missing = wanted.find((name) => linkOf(links, name) === undefined);
  if (missing === undefined) return links;
  throw new KernelFault("device-missing", `there is no device ${missing}: make it, or correct the options`);
}

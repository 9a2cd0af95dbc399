/** Which addresses this machine has, and on which devices, as `ip` tells. */
import { KernelFault, runCommand } from "../../linux/kernel-commands.ts";

/** One address on one device. */
export interface MachineAddress {
  readonly device: string;
  readonly ip: string;
  readonly prefixLength: number;
  /** `host` addresses are never chosen by the kernel for what leaves. */
  readonly scope: string;
  /** So are deprecated ones, while there is another. */
  readonly isDeprecated: boolean;
}

interface Listed {
  readonly ifname: string;
  readonly addr_info: readonly {
    readonly local?: string;
    readonly prefixlen: number;
    readonly scope: string;
    readonly deprecated?: boolean;
  }[];
}

/** All addresses of this machine. */
export async function machineAddresses(): Promise<MachineAddress[]> {
  const listed = JSON.parse(await runCommand(["ip", "-j", "addr", "show"])) as Listed[];
  return listed.flatMap(({ ifname, addr_info }) =>
    addr_info.flatMap(({ local, prefixlen, scope, deprecated }) => {
      if (local === undefined) return [];
      const isDeprecated = deprecated === true;
      return [{ device: ifname, ip: local, prefixLength: prefixlen, scope, isDeprecated }];
    }),
  );
}

/** The devices by which this machine sends what has no closer route. */
export async function defaultRouteDevices(family: 4 | 6): Promise<string[]> {
  const text = await runCommand(["ip", "-j", `-${family}`, "route", "show", "default"]);
  const routes = JSON.parse(text === "" ? "[]" : text) as {
    readonly dev?: string;
    readonly type?: string;
    readonly nexthops?: readonly { readonly dev: string }[];
  }[];
  // An unreachable or blackhole route has a type, and leads nowhere.
  const leading = routes.filter(({ type }) => type === undefined || type === "unicast");
  const devices = leading.flatMap(({ dev, nexthops }) => nexthops?.map((hop) => hop.dev) ?? dev);
  return devices.filter((device) => device !== undefined);
}

/** The same of both families. */
export async function waysOut(): Promise<{ readonly 4: readonly string[]; readonly 6: readonly string[] }> {
  return { 4: await defaultRouteDevices(4), 6: await defaultRouteDevices(6) };
}

/** A shared address goes to the loopback device, where the kernel neither announces nor prefers it. */
export async function addToLoopback(ip: string): Promise<void> {
  await runCommand(["ip", "addr", "add", ...onLoopback(ip), ...manner(ip)]);
}

/** Takes it off again; nothing if it is gone. */
export async function removeFromLoopback(ip: string): Promise<void> {
  try {
    await runCommand(["ip", "addr", "del", ...onLoopback(ip)]);
  } catch (fault) {
    const isThere = (await machineAddresses()).some(
      (address) => address.ip === ip && address.device === "lo",
    );
    if (isThere || !(fault instanceof KernelFault)) throw fault;
  }
}

function onLoopback(ip: string): string[] {
  return [`${ip}/${ip.includes(":") ? 128 : 32}`, "dev", "lo"];
}

function manner(ip: string): string[] {
  return ip.includes(":") ? ["nodad", "preferred_lft", "0"] : ["scope", "host"];
}

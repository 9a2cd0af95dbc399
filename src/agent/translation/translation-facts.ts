/** What is looked at of a machine that translates; changes nothing. [HS6] */
import { access, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Family } from "../../core/address-family.ts";
import { parseRange, type Range } from "../../policy/special-ranges.ts";
import { KernelFault, readSetting, runCommand } from "../../linux/kernel-commands.ts";
import { type Listed, parseListing } from "../../linux/nftables/listing.ts";
import type { Senders } from "./senders.ts";
import { type TrackingUse, trackingUse } from "./tracking-use.ts";

/** A device of the machine. */
export interface Link {
  readonly name: string;
  readonly isBridge: boolean;
  /** The bridge that it is a port of. */
  readonly bridge: string | null;
  /** A program that sees packets ahead of the kernel; its name, or its number. */
  readonly xdp: string | null;
}

/** Of each family the devices by which default routes leave. */
export type WaysOut = Readonly<Record<Family, readonly string[]>>;

/** As observed. */
export interface TranslationFacts {
  readonly senders: Senders;
  readonly waysOut: WaysOut;
  readonly listed: readonly Listed[];
  readonly links: readonly Link[];
  /** Settings of the kernel by their names; those are missing that the kernel has not. */
  readonly settings: ReadonlyMap<string, string>;
  /** Programs of tc on the ways out, by device. */
  readonly filters: ReadonlyMap<string, readonly string[]>;
  readonly tracking: TrackingUse | null;
  readonly hasConntrack: boolean;
  /** Loaded modules that change addresses within packets. */
  readonly helperModules: readonly string[];
  /** Whether iptables-legacy has rules that translate. */
  readonly hasLegacyRules: boolean;
  /** Control groups of senders that are not there. */
  readonly missingGroups: readonly string[];
}

const CGROUPS = "/sys/fs/cgroup";
const HELPER_MODULE = /^(nf_nat_(?:amanda|ftp|h323|irc|pptp|sip|snmp_basic|tftp))\s/;
const SETTINGS = [
  "net/ipv4/ip_forward",
  "net/ipv6/conf/all/forwarding",
  "net/ipv4/conf/all/rp_filter",
  "net/netfilter/nf_conntrack_helper",
  "net/bridge/bridge-nf-call-iptables",
  "net/bridge/bridge-nf-call-ip6tables",
];

/** The kernel's whole ruleset; null where nftables or the right to see it is missing. */
export async function readRuleset(): Promise<readonly Listed[] | null> {
  try {
    return parseListing(await runCommand(["nft", "-j", "list", "ruleset"]));
  } catch (fault) {
    if (fault instanceof KernelFault) return null;
    throw fault;
  }
}

/** Looks at everything. */
export async function readFacts(
  senders: Senders,
  waysOut: WaysOut,
  listed: readonly Listed[],
): Promise<TranslationFacts> {
  const leading = [...new Set([...waysOut[4], ...waysOut[6]])];
  const ofDevices = [...leading, ...senders.devices].map((device) => `net/ipv4/conf/${device}/rp_filter`);
  return {
    senders,
    waysOut,
    listed,
    links: await readLinks(),
    settings: await readSettings([...SETTINGS, ...ofDevices]),
    filters: await readFilters(leading),
    tracking: await trackingUse(),
    hasConntrack: await canRun(["conntrack", "--version"]),
    helperModules: (await linesOf("/proc/modules")).flatMap((line) => HELPER_MODULE.exec(line)?.[1] ?? []),
    hasLegacyRules: await hasLegacyRules(),
    missingGroups: await missingOf(senders.cgroups.map(({ path }) => path)),
  };
}

/** Devices, other than ways out, by which the machine reaches senders: so theirs come by them, too. */
export async function senderDevices({ sources, devices }: Senders, waysOut: WaysOut): Promise<string[]> {
  const found = new Set(devices);
  const ranges = sources.map(parseRange);
  for (const family of [4, 6] as const) {
    const text = await runCommand(["ip", "-j", `-${family}`, "route", "show"]);
    const routes = JSON.parse(text === "" ? "[]" : text) as { readonly dst: string; readonly dev?: string }[];
    for (const { dst, dev } of routes) {
      if (dev === undefined || dst === "default" || waysOut[family].includes(dev)) continue;
      const route = parseRange(dst.includes("/") ? dst : `${dst}/${family === 4 ? 32 : 128}`);
      if (ranges.some((range) => areCommon(range, route))) found.add(dev);
    }
  }
  return [...found];
}

function areCommon([one, oneBits]: Range, [other, otherBits]: Range): boolean {
  return one.kind() === other.kind() && one.match(other, Math.min(oneBits, otherBits));
}

interface ListedLink {
  readonly ifname: string;
  readonly master?: string;
  readonly linkinfo?: { readonly info_kind?: string };
  readonly xdp?: { readonly prog?: { readonly id: number; readonly name?: string } };
}

async function readLinks(): Promise<Link[]> {
  const listed = JSON.parse(await runCommand(["ip", "-j", "-d", "link", "show"])) as ListedLink[];
  const bridges = new Set(
    listed.flatMap(({ ifname, linkinfo }) => (linkinfo?.info_kind === "bridge" ? [ifname] : [])),
  );
  return listed.map(({ ifname, master, xdp }) => ({
    name: ifname,
    isBridge: bridges.has(ifname),
    bridge: master !== undefined && bridges.has(master) ? master : null,
    xdp: xdp?.prog === undefined ? null : (xdp.prog.name ?? `number ${xdp.prog.id}`),
  }));
}

async function readSettings(names: readonly string[]): Promise<Map<string, string>> {
  const settings = new Map<string, string>();
  for (const name of names) {
    const value = await readSetting(name);
    if (value !== null) settings.set(name, value);
  }
  return settings;
}

/** Where there is no `tc`, there is hardly anybody who uses it. */
async function readFilters(devices: readonly string[]): Promise<Map<string, string[]>> {
  const found = new Map<string, string[]>();
  for (const device of devices) {
    for (const way of ["ingress", "egress"]) {
      const text = await runCommand(["tc", "-j", "filter", "show", "dev", device, way]).catch(() => "");
      const filters = text.trim() === "" ? [] : (JSON.parse(text) as unknown[]);
      if (filters.length > 0) found.set(device, [...(found.get(device) ?? []), way]);
    }
  }
  return found;
}

async function canRun(argv: readonly string[]): Promise<boolean> {
  try {
    await runCommand(argv);
    return true;
  } catch (fault) {
    return !(fault instanceof KernelFault && fault.code === "command-missing");
  }
}

async function hasLegacyRules(): Promise<boolean> {
  const tables = await Promise.all(
    ["ip", "ip6"].map((family) => linesOf(`/proc/net/${family}_tables_names`)),
  );
  return tables.flat().includes("nat");
}

async function missingOf(paths: readonly string[]): Promise<string[]> {
  const are = await Promise.all(
    paths.map((path) =>
      access(join(CGROUPS, path)).then(
        () => true,
        () => false,
      ),
    ),
  );
  return paths.filter((_, at) => !are[at]);
}

/** None of what cannot be read: the kernel may have no such file. */
async function linesOf(file: string): Promise<string[]> {
  try {
    return (await readFile(file, "utf8")).split("\n");
  } catch {
    return [];
  }
}

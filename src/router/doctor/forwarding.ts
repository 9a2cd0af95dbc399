/**
 * The paths of packets through a router, as the kernel answers `ip route get` for each: out from the
 * hosts' link, and in to a routed host or to this machine, where ingress does not forward to a
 * neighbour. Settings explain why the kernel refuses.
 */
import { type Finding, problem } from "../../process/finding.ts";
import { KernelFault, readSetting, runCommand } from "../../linux/kernel-commands.ts";
import { markOf, type RouterConfig } from "../steering/router-config.ts";
import { type Family, familyOf } from "../../core/address-family.ts";

/** A device of this machine. */
export interface Device {
  readonly name: string;
  readonly isUp: boolean;
  /** Something is at its other end. */
  readonly hasCarrier: boolean;
  readonly ips: readonly string[];
}

/** What the kernel would do with one packet. */
export interface PathFacts {
  /** From a host to the Internet; to a routed host; to this machine as a host. */
  readonly way: "out" | "routed" | "self";
  /** The shared address: the source on the way out, else the destination. */
  readonly ip: string;
  /** By which the packet comes in. */
  readonly device: string;
  /** The host that it is for; null on the way out. */
  readonly host: string | null;
  /** The device by which it leaves, or `local`; null when the kernel refuses it. */
  readonly leavesBy: string | null;
  /** The kernel's message. */
  readonly refusal: string | null;
}

/** The machine below a router. */
export interface MachineFacts {
  readonly config: RouterConfig;
  readonly ips: readonly string[];
  readonly devices: readonly Device[];
  readonly paths: readonly PathFacts[];
  /** By name, such as `net/ipv4/ip_forward`. */
  readonly settings: ReadonlyMap<string, string | null>;
}

interface ListedDevice {
  readonly ifname: string;
  readonly flags: readonly string[];
  readonly addr_info: readonly { readonly local?: string }[];
}

/** Addresses that are certainly on the Internet: root name servers. Nothing is sent there. */
const OUTSIDE: Readonly<Record<Family, string>> = { 4: "198.41.0.4", 6: "2001:503:ba3e::2:30" };
/** Further addresses are not looked at: they would have the same result. */
const MOST_ADDRESSES_ASKED = 16;
const IPV6_FORWARDING = "net/ipv6/conf/all/forwarding";

/** Looks at the machine, for these shared addresses and the hosts that hold ports of them. */
export async function observeMachine(
  config: RouterConfig,
  ips: readonly string[],
  hosts: ReadonlySet<string>,
): Promise<MachineFacts> {
  const listed = JSON.parse(await runCommand(["ip", "-j", "addr", "show"])) as ListedDevice[];
  const devices = listed.map(({ ifname, flags, addr_info }): Device => ({
    name: ifname,
    isUp: flags.includes("UP"),
    hasCarrier: flags.includes("LOWER_UP"),
    ips: addr_info.flatMap(({ local }) => local ?? []),
  }));
  const paths: PathFacts[] = [];
  const isUp = (name: string): boolean => devices.some((device) => device.name === name && device.isUp);
  for (const path of pathsToAsk(config, ips.slice(0, MOST_ADDRESSES_ASKED), hosts)) {
    // A device that is down has been reported.
    if (isUp(path.device) && isUp(deviceTo(config, path) ?? path.device)) paths.push(await ask(config, path));
  }
  const names = [
    "net/ipv4/ip_forward",
    IPV6_FORWARDING,
    "net/ipv4/conf/all/rp_filter",
    "net/ipv4/conf/all/accept_local",
    ...paths.flatMap(({ device }) =>
      ["forwarding", "rp_filter", "accept_local"].map((name) => `net/ipv4/conf/${device}/${name}`),
    ),
  ];
  const settings = new Map<string, string | null>();
  for (const name of new Set(names)) settings.set(name, await readSetting(name));
  return { config, ips, devices, paths, settings };
}

/** What is wrong with it, in sentences. [RT11] */
export function machineFindings(facts: MachineFacts): Finding[] {
  // Many addresses fail for one reason.
  const sentences = [...deviceProblems(facts), ...localProblems(facts), ...pathProblems(facts)];
  return [...new Set(sentences)].map(problem);
}

type Question = Pick<PathFacts, "way" | "ip" | "device" | "host">;

/** Where hosts are on a link apart from the Internet's, they send by this machine, too. */
function pathsToAsk(config: RouterConfig, ips: readonly string[], hosts: ReadonlySet<string>): Question[] {
  const ways = [...config.hosts].filter(([host]) => hosts.has(host));
  const links = [
    ...(config.neighbourDevice === null ? [] : [config.neighbourDevice]),
    ...ways.flatMap(([, way]) => (way.kind === "neighbour" ? [way.device] : [])),
  ];
  const inner = [...new Set(links)].filter((device) => !config.ingressDevices.includes(device));
  return ips.flatMap((ip) => [
    ...inner.map((device): Question => ({ way: "out", ip, device, host: null })),
    ...ways.flatMap(([host, { kind }]): Question[] => {
      if (kind === "neighbour") return [];
      return config.ingressDevices.map((device) => ({ way: kind, ip, device, host }));
    }),
  ]);
}

async function ask(config: RouterConfig, question: Question): Promise<PathFacts> {
  const { way, ip, device, host } = question;
  const outside = OUTSIDE[familyOf(ip)];
  const [to, from] = way === "out" ? [outside, ip] : [ip, outside];
  const mark = way === "routed" ? ["mark", String(markOf(config, host!))] : [];
  const words = ["-j", `-${familyOf(ip)}`, "route", "get", to, "from", from, "iif", device, ...mark];
  try {
    const [route] = JSON.parse(await runCommand(["ip", ...words])) as { type?: string; dev?: string }[];
    const leavesBy = route?.type === "local" ? "local" : route?.dev;
    return { ...question, leavesBy: leavesBy ?? null, refusal: null };
  } catch (fault) {
    if (!(fault instanceof KernelFault) || fault.code !== "command-failed") throw fault;
    return { ...question, leavesBy: null, refusal: fault.message.replace(/^.*answers: /s, "") };
  }
}

function deviceProblems({ config, devices }: MachineFacts): string[] {
  const wanted = new Map<string, string>();
  for (const name of config.ingressDevices) wanted.set(name, "by which packets from the Internet come");
  if (config.neighbourDevice !== null) wanted.set(config.neighbourDevice, "on which hosts are neighbours");
  for (const [host, way] of config.hosts) {
    if (way.kind !== "self") wanted.set(way.device, `by which ${host} is reached`);
  }
  return [...wanted].flatMap(([name, purpose]) => {
    const device = devices.find((present) => present.name === name);
    if (device === undefined) {
      return [`There is no device ${name}, ${purpose}: make it (ip link show names those there are).`];
    }
    if (!device.isUp) return [`The device ${name}, ${purpose}, is down: ip link set dev ${name} up`];
    if (device.hasCarrier) return [];
    return [`The device ${name}, ${purpose}, has no carrier: is the cable in, the other end up?`];
  });
}

function localProblems({ config, ips, devices, paths }: MachineFacts): string[] {
  const self = selfOf(config);
  if (self !== undefined) {
    return paths
      .filter(({ way, leavesBy }) => way === "self" && leavesBy !== "local")
      .map(
        ({ ip }) =>
          `${ip} is not on this machine, though it is the host ${self} (--via ${self}=self): ` +
          "start its agent as root, which puts the address on lo.",
      );
  }
  return ips.flatMap((ip) =>
    devices
      .filter((device) => device.ips.includes(ip))
      .map(
        ({ name }) =>
          `${ip} is on ${name} of this machine, which is no host: it answers for the address, and drops ` +
          `what hosts send from it. Take it off (ip addr del ${ip} dev ${name}), or give --via NAME=self.`,
      ),
  );
}

function pathProblems(facts: MachineFacts): string[] {
  const { config, paths, settings } = facts;
  const self = selfOf(config);
  const sentences = paths.flatMap((path) => {
    const { way, ip, leavesBy } = path;
    if (way === "self" || (way === "out" && self === undefined && isLocal(facts, ip))) return [];
    const wanted = deviceTo(config, path);
    if (leavesBy !== null && leavesBy !== "local" && (wanted === null || leavesBy === wanted)) return [];
    const what =
      way === "out"
        ? `What hosts send from ${ip} by this router, in by ${path.device}, is dropped`
        : `Packets to ${ip} for ${path.host}, in by ${path.device}, do not leave by ${wanted}`;
    return [`${what}: ${reasonFor(facts, path)}`];
  });
  const needsIpv6 = paths.some(({ way, ip }) => way !== "self" && familyOf(ip) === 6);
  if (needsIpv6 && settings.get(IPV6_FORWARDING) === "0") {
    sentences.push(`This router does not forward IPv6: ${setting(IPV6_FORWARDING, 1)}`);
  }
  return sentences;
}

/** Why, and the command that mends it. */
function reasonFor(facts: MachineFacts, { way, ip, device, leavesBy, refusal }: PathFacts): string {
  const { settings } = facts;
  const own = (name: string): string => `net/ipv4/conf/${device}/${name}`;
  const isIpv4 = familyOf(ip) === 4;
  if (leavesBy === "local") return `the address is on this machine. Take it off: ip addr del ${ip} dev lo`;
  if (refusal === null) return `they leave by ${leavesBy}. Restart the router, which puts its routes back.`;
  if (isIpv4 && settings.get("net/ipv4/ip_forward") === "0") {
    return `it does not forward IPv4. ${setting("net/ipv4/ip_forward", 1)}`;
  }
  if (isIpv4 && settings.get(own("forwarding")) === "0") {
    return `it does not forward what comes in there. ${setting(own("forwarding"), 1)}`;
  }
  const isLocalTaken = [own("accept_local"), "net/ipv4/conf/all/accept_local"].some(
    (name) => settings.get(name) === "1",
  );
  if (isIpv4 && way === "out" && isLocal(facts, ip) && !isLocalTaken) {
    return `the address is its own, so it takes them for forged. ${setting(own("accept_local"), 1)}`;
  }
  // The larger of the two counts. Even a loose filter wants a way back, and a blackhole is none.
  const filters = ["net/ipv4/conf/all/rp_filter", own("rp_filter")].filter(
    (name) => Number(settings.get(name) ?? 0) > 0,
  );
  if (isIpv4 && filters.length > 0) {
    const cure = filters.map((name) => setting(name, 0)).join(" && ");
    return `the path filter (rp_filter) sees no way back to it there. ${cure}`;
  }
  if (refusal.includes("unreachable")) return `it has no route there (${refusal}): ip route show`;
  return `the kernel says "${refusal}": ip route show; ip rule show`;
}

/** The device by which packets of this way have to leave; null when any will do. */
function deviceTo({ hosts }: RouterConfig, { host }: Question): string | null {
  const way = host === null ? undefined : hosts.get(host);
  return way?.kind === "routed" ? way.device : null;
}

/** The host that this machine is. */
function selfOf({ hosts }: RouterConfig): string | undefined {
  return [...hosts].find(([, { kind }]) => kind === "self")?.[0];
}

function isLocal({ devices }: MachineFacts, ip: string): boolean {
  return devices.some(({ ips }) => ips.includes(ip));
}

function setting(name: string, value: number): string {
  return `sysctl -w ${name.replaceAll("/", ".")}=${value}`;
}

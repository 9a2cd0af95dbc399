/**
 * Routes for hosts that are not neighbours: a mark, a rule and a routing table each, so that
 * the kernel forwards as usual and tells senders of a smaller MTU. [RT8]
 *
 * On a machine that is a host itself the kernel would deliver all of it here, since the table of
 * local addresses is asked first. There the rule for that table is moved one place down, and
 * ours stand in its place. [RT9]
 */
import { KernelFault, runCommand } from "../../linux/kernel-commands.ts";
import {
  isHostItself,
  isRoutedMark,
  markOf,
  type RouterConfig,
  routedHosts,
} from "../steering/router-config.ts";
import { type Family, familyOf } from "../../core/address-family.ts";

const FAMILIES: readonly Family[] = [4, 6];
/** The kernel prefers every route with a smaller one. */
const LAST_METRIC = "4294967295";

/** Where the rule for local addresses stands, and where it is moved to. */
const LOCAL_PRIORITY = 0;
const MOVED_LOCAL_PRIORITY = 1;
/** Our rules come before all other rules, and after the rule for local addresses unless they must come first. */
const OWN_PRIORITY = 2;

interface ListedRule {
  readonly priority?: number;
  readonly fwmark?: string;
  readonly table?: string;
}

/** What `ip` is to do, one list of words a line; rules that are there already are left alone. */
export function routingLines(
  config: RouterConfig,
  family: Family,
  present: readonly ListedRule[],
): string[][] {
  const place = ownPriority(config);
  const marks = marksAt(place, present);
  return routedHosts(config).flatMap((host) => {
    const mark = markOf(config, host);
    const way = config.hosts.get(host);
    if (way?.kind !== "routed") return [];
    const nextHop = way.nextHops.find((ip) => familyOf(ip) === family);
    // Next hops of the other family only: this family has no way.
    if (nextHop === undefined && way.nextHops.length > 0) return [];
    const via = nextHop === undefined ? [] : ["via", nextHop];
    const route = ["route", "replace", "default", ...via, "dev", way.device, "table", String(mark)];
    const rule = ["rule", "add", "fwmark", String(mark), "priority", String(place), "lookup", String(mark)];
    return marks.has(mark) ? [route] : [route, rule];
  });
}

function ownPriority(config: RouterConfig): number {
  return isHostItself(config) ? LOCAL_PRIORITY : OWN_PRIORITY;
}

function marksAt(place: number, present: readonly ListedRule[]): Set<number> {
  return new Set(present.flatMap(({ priority, fwmark }) => (priority === place ? Number(fwmark) : [])));
}

/** Moves the rule for local addresses behind ours, or back. The rule is never missing in between. */
export function localRuleLines(isMoved: boolean, present: readonly ListedRule[]): string[][] {
  const isAt = (place: number): boolean => present.some((rule) => isLocalAt(place, rule));
  if (!isMoved && !isAt(MOVED_LOCAL_PRIORITY)) return [];
  const [from, to] = isMoved
    ? [LOCAL_PRIORITY, MOVED_LOCAL_PRIORITY]
    : [MOVED_LOCAL_PRIORITY, LOCAL_PRIORITY];
  return [...(isAt(to) ? [] : [localRule("add", to)]), ...(isAt(from) ? [localRule("del", from)] : [])];
}

function localRule(verb: "add" | "del", place: number): string[] {
  return ["rule", verb, "priority", String(place), "lookup", "local"];
}

function isLocalAt(place: number, { priority, table, fwmark }: ListedRule): boolean {
  return priority === place && table === "local" && fwmark === undefined;
}

/** Takes away the rules of hosts that are routed no more, or not at this place, and their tables. */
function formerHostLines(config: RouterConfig, present: readonly ListedRule[]): string[][] {
  const wanted = new Set(routedHosts(config).map((host) => markOf(config, host)));
  const place = ownPriority(config);
  return present.flatMap((rule) => {
    const mark = Number(rule.fwmark);
    if (!isRoutedMark(config, mark) || Number(rule.table) !== mark) return [];
    if (wanted.has(mark) && rule.priority === place) return [];
    const words = ["fwmark", String(mark), "priority", String(rule.priority), "lookup", String(mark)];
    const flush = ["route", "flush", "table", String(mark)];
    return [["rule", "del", ...words], ...(wanted.has(mark) ? [] : [flush])];
  });
}

/**
 * Makes rules and routes for all routed hosts, in the namespace that `ipArgv` runs in. Where a
 * device is down there can be no route yet: what is for its hosts is dropped, and does not go
 * back to where it came from.
 */
export async function routeHosts(config: RouterConfig, ipArgv: readonly string[]): Promise<void> {
  if (routedHosts(config).length === 0) return;
  const up = await devicesUp(ipArgv);
  for (const family of FAMILIES) {
    const lines = routingLines(config, family, await listRules(ipArgv, family));
    for (const table of new Set(lines.map((words) => words.at(-1)!))) {
      const lastResort = ["route", "replace", "blackhole", "default", "metric", LAST_METRIC, "table", table];
      await runIp(ipArgv, [`-${family}`, ...lastResort]);
    }
    for (const words of lines) {
      if (words[0] === "route" && !up.has(deviceIn(words))) continue;
      await runIp(ipArgv, [`-${family}`, ...words]);
    }
    if (!isHostItself(config)) continue;
    for (const words of localRuleLines(true, await listRules(ipArgv, family))) {
      await runIp(ipArgv, [`-${family}`, ...words]);
    }
  }
}

/** Removes what an earlier run of this router left in the kernel; after the steering has changed. */
export async function unrouteFormerHosts(config: RouterConfig, ipArgv: readonly string[]): Promise<void> {
  for (const family of FAMILIES) {
    const present = await listRules(ipArgv, family);
    const isMoved = isHostItself(config) && routedHosts(config).length > 0;
    const back = isMoved ? [] : localRuleLines(false, present);
    for (const words of [...back, ...formerHostLines(config, present)]) {
      await runIp(ipArgv, [`-${family}`, ...words]);
    }
  }
}

/** Whether nothing is missing that could be there now. The routes of a device go with it when it goes down. */
export async function areHostsRouted(config: RouterConfig, ipArgv: readonly string[]): Promise<boolean> {
  const unrouted = await unroutedHosts(config, ipArgv);
  if (unrouted.length === 0) return true;
  const up = await devicesUp(ipArgv);
  return unrouted.every(({ device, hasRule }) => hasRule && !up.has(device));
}

/** A routed host whose rule or route is not in the kernel. */
export interface UnroutedHost {
  readonly host: string;
  readonly family: Family;
  readonly device: string;
  /** The rule is there, and only the route is missing. */
  readonly hasRule: boolean;
}

/** All hosts that a rule and a route should lead to, and do not. */
export async function unroutedHosts(
  config: RouterConfig,
  ipArgv: readonly string[],
): Promise<UnroutedHost[]> {
  if (routedHosts(config).length === 0) return [];
  const unrouted: UnroutedHost[] = [];
  for (const family of FAMILIES) {
    const present = await listRules(ipArgv, family);
    const lines = routingLines(config, family, []);
    const isHidden = isHostItself(config) && present.some((rule) => isLocalAt(LOCAL_PRIORITY, rule));
    const marks = marksAt(ownPriority(config), present);
    for (const host of routedHosts(config)) {
      const mark = markOf(config, host);
      const route = lines.find((words) => words[0] === "route" && words.at(-1) === String(mark));
      if (route === undefined) continue;
      const hasRule = marks.has(mark) && !isHidden;
      if (hasRule && (await hasRoute(ipArgv, family, mark))) continue;
      unrouted.push({ host, family, device: deviceIn(route), hasRule });
    }
  }
  return unrouted;
}

/** Takes them away again. */
export function unrouteHosts(config: RouterConfig, ipArgv: readonly string[]): Promise<void> {
  return unrouteFormerHosts({ ...config, hosts: new Map() }, ipArgv);
}

async function listRules(ipArgv: readonly string[], family: Family): Promise<ListedRule[]> {
  try {
    return JSON.parse(await runIp(ipArgv, ["-j", `-${family}`, "rule", "show"])) as ListedRule[];
  } catch (fault) {
    // A kernel without IPv6 has no rules for it.
    if (fault instanceof KernelFault && fault.message.includes("not supported")) return [];
    throw fault;
  }
}

async function hasRoute(ipArgv: readonly string[], family: Family, table: number): Promise<boolean> {
  try {
    const listed = await runIp(ipArgv, ["-j", `-${family}`, "route", "show", "table", String(table)]);
    const routes = JSON.parse(listed === "" ? "[]" : listed) as { readonly type?: string }[];
    return routes.some(({ type }) => type !== "blackhole");
  } catch (fault) {
    // The kernel forgets a table with its last route, and ip calls that a failure.
    if (fault instanceof KernelFault && fault.message.includes("does not exist")) return false;
    throw fault;
  }
}

async function devicesUp(ipArgv: readonly string[]): Promise<Set<string>> {
  const listed = JSON.parse(await runIp(ipArgv, ["-j", "link", "show", "up"])) as {
    readonly ifname?: string;
  }[];
  return new Set(listed.flatMap(({ ifname }) => ifname ?? []));
}

function deviceIn(route: readonly string[]): string {
  return route[route.indexOf("dev") + 1]!;
}

async function runIp(ipArgv: readonly string[], words: readonly string[]): Promise<string> {
  try {
    return await runCommand([...ipArgv, ...words]);
  } catch (fault) {
    // The kernel forgets a table with its last route, and ip calls it a failure to flush that.
    if (words.includes("flush") && fault instanceof KernelFault && fault.message.includes("does not exist")) {
      return "";
    }
    throw fault;
  }
}

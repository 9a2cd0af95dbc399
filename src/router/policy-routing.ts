/**
 * Routes for hosts that are no neighbours: a mark, a rule and a routing table each, so that
 * the kernel forwards as always and tells senders of a smaller MTU. [RT8]
 */
import { KernelFault, runCommand } from "../link/kernel-commands.ts";
import { type Family, familyOf, markOf, type RouterConfig, routedHosts } from "./router-config.ts";

const FAMILIES: readonly Family[] = [4, 6];
/** The kernel prefers every route with a smaller one. */
const LAST_METRIC = "4294967295";

interface ListedRule {
  readonly fwmark?: string;
  readonly table?: string;
}

/** What `ip` is to do, one list of words a line; rules that are there already are left alone. */
export function routingLines(
  config: RouterConfig,
  family: Family,
  present: readonly ListedRule[],
): string[][] {
  const marks = new Set(present.map(({ fwmark }) => Number(fwmark)));
  return routedHosts(config).flatMap((host) => {
    const mark = markOf(config, host);
    const way = config.hosts.get(host);
    if (way?.kind !== "routed") return [];
    const nextHop = way.nextHops.find((ip) => familyOf(ip) === family);
    // Next hops of the other family only: this family has no way.
    if (nextHop === undefined && way.nextHops.length > 0) return [];
    const via = nextHop === undefined ? [] : ["via", nextHop];
    const route = ["route", "replace", "default", ...via, "dev", way.device, "table", String(mark)];
    const rule = ["rule", "add", "fwmark", String(mark), "lookup", String(mark)];
    return marks.has(mark) ? [route] : [route, rule];
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
    for (const host of routedHosts(config)) {
      const mark = markOf(config, host);
      const route = lines.find((words) => words[0] === "route" && words.at(-1) === String(mark));
      if (route === undefined) continue;
      const hasRule = present.some(({ fwmark }) => Number(fwmark) === mark);
      if (hasRule && (await hasRoute(ipArgv, family, mark))) continue;
      unrouted.push({ host, family, device: deviceIn(route), hasRule });
    }
  }
  return unrouted;
}

/** Takes them away again. */
export async function unrouteHosts(config: RouterConfig, ipArgv: readonly string[]): Promise<void> {
  for (const family of FAMILIES) {
    const present = routedHosts(config).length === 0 ? [] : await listRules(ipArgv, family);
    for (const host of routedHosts(config)) {
      const mark = markOf(config, host);
      if (!present.some(({ fwmark }) => Number(fwmark) === mark)) continue;
      await runIp(ipArgv, [`-${family}`, "rule", "del", "fwmark", String(mark), "lookup", String(mark)]);
      await runIp(ipArgv, [`-${family}`, "route", "flush", "table", String(mark)]);
    }
  }
}

async function listRules(ipArgv: readonly string[], family: Family): Promise<ListedRule[]> {
  return JSON.parse(await runIp(ipArgv, ["-j", `-${family}`, "rule", "show"])) as ListedRule[];
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

function runIp(ipArgv: readonly string[], words: readonly string[]): Promise<string> {
  return runCommand([...ipArgv, ...words]);
}

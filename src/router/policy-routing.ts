/**
 * Routes for hosts that are no neighbours: a mark, a rule and a routing table each, so that
 * the kernel forwards as always and tells senders of a smaller MTU. [RT8]
 */
import { KernelFault, runCommand } from "../link/kernel-commands.ts";
import { type Family, familyOf, markOf, type RouterConfig, routedHosts } from "./router-config.ts";

const FAMILIES: readonly Family[] = [4, 6];

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

/** Makes rules and routes for all routed hosts, in the namespace that `ipArgv` runs in. */
export async function routeHosts(config: RouterConfig, ipArgv: readonly string[]): Promise<void> {
  if (routedHosts(config).length === 0) return;
  for (const family of FAMILIES) {
    for (const words of routingLines(config, family, await listRules(ipArgv, family))) {
      await runIp(ipArgv, [`-${family}`, ...words]);
    }
  }
}

/** Whether no rule is missing, and no route: those of a device go with it when it goes down. */
export async function areHostsRouted(config: RouterConfig, ipArgv: readonly string[]): Promise<boolean> {
  return (await unroutedHosts(config, ipArgv)).length === 0;
}

/** Routed hosts whose rule or route is not in the kernel, by family. */
export async function unroutedHosts(
  config: RouterConfig,
  ipArgv: readonly string[],
): Promise<{ host: string; family: Family }[]> {
  if (routedHosts(config).length === 0) return [];
  const unrouted: { host: string; family: Family }[] = [];
  for (const family of FAMILIES) {
    const present = await listRules(ipArgv, family);
    for (const host of routedHosts(config)) {
      const mark = markOf(config, host);
      const isMeant = routingLines(config, family, []).some((line) => line.at(-1) === String(mark));
      const hasRule = present.some(({ fwmark }) => Number(fwmark) === mark);
      if (isMeant && !(hasRule && (await hasRoute(ipArgv, family, mark)))) unrouted.push({ host, family });
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
    return (JSON.parse(listed === "" ? "[]" : listed) as unknown[]).length > 0;
  } catch (fault) {
    // The kernel forgets a table with its last route, and ip calls that a failure.
    if (fault instanceof KernelFault && fault.message.includes("does not exist")) return false;
    throw fault;
  }
}

function runIp(ipArgv: readonly string[], words: readonly string[]): Promise<string> {
  return runCommand([...ipArgv, ...words]);
}

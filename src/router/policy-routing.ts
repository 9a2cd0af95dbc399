/**
 * Routes for hosts that are no neighbours: a mark, a rule and a routing table each, so that
 * the kernel forwards as always and tells senders of a smaller MTU. [RT8]
 */
import { execFile } from "node:child_process";
import { KernelFault } from "./kernel-fault.ts";
import { type Family, familyOf, markOf, type RouterConfig, routedHosts } from "./router-config.ts";

const LONGEST_RUN_MS = 10_000;
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

/** Whether no rule is missing. */
export async function areHostsRouted(config: RouterConfig, ipArgv: readonly string[]): Promise<boolean> {
  if (routedHosts(config).length === 0) return true;
  for (const family of FAMILIES) {
    const lines = routingLines(config, family, await listRules(ipArgv, family));
    if (lines.some(([object]) => object === "rule")) return false;
  }
  return true;
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

function runIp(ipArgv: readonly string[], words: readonly string[]): Promise<string> {
  const [command, ...args] = [...ipArgv, ...words];
  return new Promise((resolve, reject) => {
    execFile(command!, args, { timeout: LONGEST_RUN_MS }, (cause, stdout, stderr) => {
      if (cause === null) return resolve(stdout);
      const said = stderr.trim() === "" ? cause.message : stderr.trim();
      reject(new KernelFault("command-failed", `${command} ${args.join(" ")}: ${said}`, cause));
    });
  });
}

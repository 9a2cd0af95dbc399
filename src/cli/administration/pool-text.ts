/** Pools, addresses and hosts for people. */
import type { AnswerOf } from "../../api/edge-api.ts";
import { type Cell, printable, styled, table } from "../output/terminal-text.ts";

/** A pool as the edge tells it. */
export type Pool = AnswerOf<"getPool">;
/** A host of it. */
export type PoolHost = Pool["hosts"][number];
/** An address of it. */
export type PoolIp = Pool["ips"][number];

/** One line for each pool. */
export function poolsText(pools: readonly Pool[]): string {
  const rows = pools.map(({ pool, ips, hosts, routers, policyVersion }) => [
    pool,
    `${ips.length}`,
    outOf(hosts.filter(({ live }) => live).length, hosts.length),
    outOf(routers.filter(({ live }) => live).length, routers.length),
    `${policyVersion}`,
  ]);
  return table(["POOL", "ADDRESSES", "LIVE HOSTS", "LIVE ROUTERS", "POLICY"], rows);
}

/** All of a pool. */
export function poolText(pool: Pool): string {
  const settings = Object.entries(pool.settings).map(([name, value]) => [name, String(value)]);
  const parts = [
    styled("bold", printable(`Pool ${pool.pool}, policy ${pool.policyVersion}`)),
    table(["SETTING", "VALUE"], settings),
    pool.ips.length === 0
      ? `No address yet: ipshard ip add ADDRESS --pool ${printable(pool.pool)}`
      : ipsText(pool.ips),
    pool.hosts.length === 0
      ? `No host yet: ipshard host add NAME --pool ${printable(pool.pool)}`
      : hostsText(pool.hosts, pool.policyVersion),
    ...(pool.routers.length === 0 ? [] : [routersText(pool)]),
  ];
  return parts.join("\n\n");
}

/** One line for each address. */
export function ipsText(ips: readonly PoolIp[]): string {
  const rows = ips.map((ip): Cell[] => [
    ip.ip,
    standingOfIp(ip),
    ip.advertised ?? "",
    ip.country ?? "",
    ip.sites.join(","),
    ip.tags.join(","),
    busiestText(ip.busiestDestination),
  ]);
  return table(["ADDRESS", "STATE", "ADVERTISED", "COUNTRY", "SITES", "TAGS", "BUSIEST DESTINATION"], rows);
}

/** One line for each host. */
export function hostsText(hosts: readonly PoolHost[], policyVersion: number | null = null): string {
  const rows = hosts.map((host): Cell[] => [
    host.host,
    standingOfHost(host),
    uplinkCell(host.uplink),
    host.rooms.map(({ ip }) => ip).join(","),
    `${sum(host.rooms.map(({ busiestCount }) => busiestCount))} of ${sum(host.rooms.map(({ portCount }) => portCount))}`,
    host.site ?? "",
    policyCell(host.policyVersion, policyVersion),
    host.gateway,
  ]);
  return table(["HOST", "STATE", "UPLINK", "ADDRESSES", "PORTS", "SITE", "POLICY", "GATEWAY"], rows);
}

/** One line for each router of a pool. */
export function routersText({ routers, steeringSequence }: Pool): string {
  const rows = routers.map(({ router, live, ready, acknowledged, lagging, seenAtMs }): Cell[] => [
    router,
    live ? { text: "live", style: "green" } : { text: "silent", style: "red" },
    ready ? "yes" : { text: "no", style: "yellow" },
    `${acknowledged ?? 0} of ${steeringSequence}`,
    lagging ? { text: "lags", style: "red" } : "no",
    new Date(seenAtMs).toISOString(),
  ]);
  return table(["ROUTER", "STATE", "READY", "TABLE", "LAGS", "HEARD"], rows);
}

/** How far a drain has come, in words. */
export function drainText({ state, portCount, flowCount }: NonNullable<PoolHost["drain"]>): string {
  if (state === "drained") return "drained";
  const flows = flowCount === null ? "new ones still begin" : counted(flowCount, "flow");
  return `draining, ${counted(portCount, "port")} left, ${flows}`;
}

/** `1 host`, `2 hosts`. */
export function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? "" : "s"}`;
}

/** Where something goes. */
export function busiestText(
  busiest: {
    readonly protocol: string;
    readonly ip: string;
    readonly port: number;
    readonly portCount: number;
  } | null,
): string {
  if (busiest === null) return "";
  const { protocol, ip, port, portCount } = busiest;
  return `${protocol} ${ip.includes(":") ? `[${ip}]` : ip}:${port} (${counted(portCount, "port")})`;
}

function standingOfIp({ retiring, drain }: PoolIp): Cell {
  if (retiring !== null) {
    const { leasedPortCount, quarantinedPortCount } = retiring;
    return {
      text: `retiring, ${leasedPortCount ?? "?"} ports leased, ${quarantinedPortCount ?? "?"} in quarantine`,
      style: "yellow",
    };
  }
  return drain === null ? { text: "serving", style: "green" } : { text: drainText(drain), style: "yellow" };
}

/** What a host does, in a word or two. */
export function stateOfHost({ live, drain, draining, rooms }: PoolHost): string {
  if (drain !== null) return `${live ? "" : "silent, "}${drainText(drain)}`;
  if (!live) return "silent";
  if (draining) return "ending";
  return rooms.length === 0 ? "no ports" : "serving";
}

function standingOfHost(host: PoolHost): Cell {
  const text = stateOfHost(host);
  if (text === "serving") return { text, style: "green" };
  return { text, style: text === "silent" ? "red" : "yellow" };
}

function uplinkCell(uplink: PoolHost["uplink"]): Cell {
  if (uplink === "dead") return { text: uplink, style: "red" };
  return uplink === "suspect" ? { text: uplink, style: "yellow" } : uplink;
}

function policyCell(version: number | null, wanted: number | null): Cell {
  const text = version === null ? "none" : `${version}`;
  return wanted === null || version === wanted ? text : { text, style: "yellow" };
}

function outOf(count: number, all: number): string {
  return `${count} of ${all}`;
}

function sum(counts: readonly number[]): number {
  return counts.reduce((all, count) => all + count, 0);
}

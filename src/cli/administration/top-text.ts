/** A pool at a glance: its hosts, how fast they change, and where most ports go. Pure, of two looks at it. [OV9] */
import type { AnswerOf } from "../../api/edge-api.ts";
import { type Cell, printable, styled, table } from "../output/terminal-text.ts";
import { type Pool, type PoolHost, stateOfHost } from "./pool-text.ts";

/** What was seen at a moment. */
export interface Look {
  readonly atMs: number;
  readonly pool: Pool;
  /** Of the isolate of the edge that answered. */
  readonly edge: AnswerOf<"getEdge">;
}

/** What is shown. */
export interface Glance {
  readonly at: string;
  readonly pool: string;
  /**
   * Of this pool, by way of the edge. Null at the first look, and when it can be seen that another isolate
   * answered than before.
   */
  readonly requestsPerSecond: number | null;
  /** Whether that is all of the edge; else it is what one isolate of many passed on. */
  readonly isWholeEdge: boolean;
  readonly hosts: readonly HostGlance[];
  readonly destinations: readonly {
    readonly destination: string;
    readonly ports: number;
    readonly hosts: number;
  }[];
}

interface HostGlance {
  readonly host: string;
  readonly state: string;
  readonly uplink: PoolHost["uplink"];
  readonly portsHeld: number;
  /** In use towards the busiest destination, by which room is judged. */
  readonly portsInUse: number;
  readonly inUsePerSecond: number | null;
  readonly busiest: string | null;
}

const MOST_DESTINATIONS = 10;

/** What two looks tell; the first of all has none before it. */
export function glanceOf(before: Look | null, now: Look): Glance {
  const seconds = before === null ? null : (now.atMs - before.atMs) / 1_000;
  const handed = before === null ? -1 : handedOver(now) - handedOver(before);
  const earlier = new Map(before?.pool.hosts.map((host) => [host.host, inUse(host)]));
  return {
    at: new Date(now.atMs).toISOString(),
    pool: now.pool.pool,
    requestsPerSecond: seconds === null || handed < 0 ? null : rate(handed, seconds),
    isWholeEdge: now.edge.isWhole,
    hosts: now.pool.hosts.map((host) => {
      const was = earlier.get(host.host);
      const used = inUse(host);
      return {
        host: host.host,
        state: stateOfHost(host),
        uplink: host.uplink,
        portsHeld: host.rooms.reduce((all, { portCount }) => all + portCount, 0),
        portsInUse: used,
        inUsePerSecond: seconds === null || was === undefined ? null : rate(used - was, seconds),
        busiest: busiestOf(host)?.destination ?? null,
      };
    }),
    destinations: destinationsOf(now.pool),
  };
}

/** For people. */
export function glanceText(glance: Glance): string {
  const { at, pool, requestsPerSecond, isWholeEdge, hosts, destinations } = glance;
  const live = hosts.filter(({ state }) => state === "serving").length;
  const way = isWholeEdge ? "through the edge" : "through the one isolate of the edge that answered, of many";
  const requests = requestsPerSecond === null ? "" : `, ${requestsPerSecond} requests/s ${way}`;
  const rows = hosts.map((host): Cell[] => [
    host.host,
    host.state === "serving" ? { text: host.state, style: "green" } : { text: host.state, style: "yellow" },
    host.uplink === "dead" ? { text: host.uplink, style: "red" } : host.uplink,
    `${host.portsInUse} of ${host.portsHeld}`,
    usedText(host),
    host.inUsePerSecond === null ? "" : signed(host.inUsePerSecond),
    host.busiest ?? "",
  ]);
  const hottest = destinations.map(({ destination, ports, hosts: count }) => [
    destination,
    `${ports}`,
    `${count}`,
  ]);
  return [
    styled("bold", printable(`Pool ${pool}, ${at}: ${live} of ${hosts.length} hosts serve${requests}`)),
    table(["HOST", "STATE", "UPLINK", "PORTS", "USED", "PER SECOND", "BUSIEST DESTINATION"], rows),
    ...(hottest.length === 0 ? [] : [table(["HOTTEST DESTINATIONS", "PORTS", "HOSTS"], hottest)]),
  ].join("\n\n");
}

function handedOver({ pool: { pool }, edge }: Look): number {
  return edge.handedOverOf[pool] ?? 0;
}

function inUse({ rooms }: PoolHost): number {
  return rooms.reduce((all, { busiestCount }) => all + busiestCount, 0);
}

function busiestOf({ rooms }: PoolHost): { readonly destination: string; readonly count: number } | null {
  const busiest = rooms
    .filter(({ busiestDestination }) => busiestDestination !== null)
    .toSorted((a, b) => b.busiestCount - a.busiestCount)[0];
  if (busiest === undefined) return null;
  return { destination: placeText(busiest.busiestDestination!), count: busiest.busiestCount };
}

/** Each host tells of each address only its busiest one, so this is the least that goes there. */
function destinationsOf({ hosts }: Pool): Glance["destinations"] {
  const found = new Map<string, { ports: number; hosts: Set<string> }>();
  for (const { host, rooms } of hosts) {
    for (const { busiestDestination, busiestCount } of rooms) {
      if (busiestDestination === null) continue;
      const place = placeText(busiestDestination);
      const known = found.get(place) ?? { ports: 0, hosts: new Set() };
      known.ports += busiestCount;
      known.hosts.add(host);
      found.set(place, known);
    }
  }
  return [...found]
    .map(([destination, { ports, hosts: senders }]) => ({ destination, ports, hosts: senders.size }))
    .toSorted((a, b) => b.ports - a.ports)
    .slice(0, MOST_DESTINATIONS);
}

function placeText({
  protocol,
  ip,
  port,
}: NonNullable<PoolHost["rooms"][number]["busiestDestination"]>): string {
  return `${protocol} ${ip.includes(":") ? `[${ip}]` : ip}:${port}`;
}

function usedText({ portsInUse, portsHeld }: HostGlance): Cell {
  if (portsHeld === 0) return "";
  const part = portsInUse / portsHeld;
  const text = `${Math.round(part * 100)} %`;
  return part > 0.7 ? { text, style: "yellow" } : text;
}

function rate(count: number, seconds: number): number {
  return Math.round((count / seconds) * 10) / 10;
}

function signed(number: number): string {
  return number > 0 ? `+${number}` : `${number}`;
}

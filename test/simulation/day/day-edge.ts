/**
 * The edge of the simulated day: the real lease table of each address, and the real assignment by
 * demand. What it has besides is only who is told what, and when.
 */
import {
  type AssignableHost,
  assignAddresses,
  type Assignment,
} from "../../../src/core/address-assignment.ts";
import {
  type Demand,
  demandAfter,
  FIRST_DEMAND,
  REST_MS,
  portsOf,
  freePortCounts,
} from "../../../src/core/address-demand.ts";
import { execute, type LeaseCommand } from "../../../src/core/lease-commands.ts";
import {
  emptyLeaseTable,
  type LeaseTable,
  nextDeadlineMs,
  portsLeased,
} from "../../../src/core/lease-table.ts";
import type { AddressCapacity, LeaseReply, LeaseRequest } from "../../../src/core/messages.ts";
import type { PoolSettings } from "../../../src/core/pool-settings.ts";
import { LEASABLE_PORT_COUNT, portCountOf } from "../../../src/core/port-block.ts";
import { minimumOf, roomFor, settingsFor } from "../../../src/core/share.ts";
import { Shortage } from "../../../src/core/shortage.ts";
import type { CapacityReport } from "../../../src/agent/leasing/capacity-report.ts";
import type { Chance } from "../chance.ts";

interface Address {
  readonly table: LeaseTable;
  readonly sessions: Map<string, number>;
  alarmAtMs: number;
  readonly shortage: Shortage;
}

interface PoolHost {
  rooms: readonly AddressCapacity[];
  demand: Demand;
}

/** How often somebody asks for the placement, which lets the pool look at what is due. */
const REVIEW_MS = 3_000;

/** One pool with its addresses. */
export class DayEdge {
  readonly ips: readonly string[];
  messageCount = 0;
  decisionCount = 0;
  grantCount = 0;
  refusalCount = 0;
  readonly #settings: PoolSettings;
  readonly #chance: Chance;
  readonly #nowMs: () => number;
  readonly #tell: (host: string, ips: readonly string[]) => void;
  readonly #onChanged: (host: string, ip: string) => void;
  readonly #addresses = new Map<string, Address>();
  readonly #hosts = new Map<string, PoolHost>();
  #assignments: Assignment[] = [];
  #isDue = false;
  #reviewAtMs = 0;

  constructor(
    addressCount: number,
    settings: PoolSettings,
    world: { readonly chance: Chance; readonly nowMs: () => number },
    tell: (host: string, ips: readonly string[]) => void,
    onChanged: (host: string, ip: string) => void,
  ) {
    this.#onChanged = onChanged;
    this.#settings = settings;
    this.#chance = world.chance;
    this.#nowMs = world.nowMs;
    this.#tell = tell;
    this.ips = Array.from({ length: addressCount }, (_, at) => `10.0.${at >> 8}.${at & 255}`);
    for (const ip of this.ips) {
      this.#addresses.set(ip, {
        table: emptyLeaseTable(settings),
        sessions: new Map(),
        alarmAtMs: Infinity,
        shortage: new Shortage(),
      });
    }
  }

  /** Hosts enlist. */
  enlist(hosts: readonly string[]): void {
    for (const host of hosts) this.#hosts.set(host, { rooms: [], demand: FIRST_DEMAND });
    this.#isDue = true;
  }

  /** Answers what a host asks of an address. */
  answer(host: string, ip: string, request: LeaseRequest): LeaseReply {
    this.messageCount += 1;
    const address = this.#addresses.get(ip)!;
    const { requestId } = request;
    const outcome = execute(
      address.table,
      commandOf(request, host, address.sessions.get(host) ?? 0),
      this.#nowMs(),
      this.#chance.next,
    );
    address.alarmAtMs = nextDeadlineMs(address.table) ?? Infinity;
    const isRefused = !outcome.outcome.ok && outcome.outcome.refusal === "address-exhausted";
    if (address.shortage.isNews(address.table, isRefused, this.#nowMs())) {
      for (const other of address.table.holders.keys()) this.#onChanged(other, ip);
    }
    if (!outcome.outcome.ok) {
      this.refusalCount += 1;
      return { type: "refused", requestId, code: outcome.outcome.refusal };
    }
    const { leases, leaseDurationMs, granted, session } = outcome.outcome.value;
    if (request.type === "join") address.sessions.set(host, session!);
    if (granted !== null) this.grantCount += 1;
    const settings = settingsFor(address.table, host, this.#nowMs());
    return {
      type: "answer",
      requestId,
      leases,
      leaseDurationMs,
      granted,
      settings,
      room: roomFor(address.table, host, this.#nowMs()),
    };
  }

  /** A host has told of its capacity. */
  reported(name: string, { rooms, leaving = [] }: CapacityReport): void {
    this.messageCount += 1;
    const host = this.#hosts.get(name)!;
    const isSame = standingOf(host.rooms) === standingOf(rooms);
    host.rooms = rooms;
    const before = host.demand.addressCount;
    host.demand = demandAfter(host.demand, usesOf(rooms), this.#nowMs(), minimumOf(this.#settings));
    const has = new Set([...rooms, ...leaving].map(({ ip }) => ip));
    const count = this.#assignments.length;
    this.#assignments = this.#assignments.filter(
      (each) => each.host !== name || each.state !== "leaving" || has.has(each.ip),
    );
    if (!isSame || count !== this.#assignments.length || before !== host.demand.addressCount)
      this.#isDue = true;
  }

  /** A second has passed. */
  pass(): void {
    const nowMs = this.#nowMs();
    for (const address of this.#addresses.values()) {
      if (nowMs < address.alarmAtMs) continue;
      execute(address.table, { type: "tick" }, nowMs, this.#chance.next);
      address.alarmAtMs = nextDeadlineMs(address.table) ?? Infinity;
    }
    if (nowMs >= this.#reviewAtMs) {
      this.#reviewAtMs = nowMs + REVIEW_MS;
      for (const host of this.#hosts.values()) {
        const { restSinceMs, addressCount } = host.demand;
        if (restSinceMs === null || nowMs - restSinceMs < REST_MS) continue;
        host.demand = demandAfter(host.demand, usesOf(host.rooms), nowMs, minimumOf(this.#settings));
        if (host.demand.addressCount !== addressCount) this.#isDue = true;
      }
    }
    if (this.#isDue) this.#decide();
  }

  /** Ports of all addresses that nobody has. */
  get freePortCount(): number {
    let free = 0;
    for (const { table } of this.#addresses.values()) {
      let taken = 0;
      for (const { order } of table.rows.values()) taken += portCountOf(order);
      free += LEASABLE_PORT_COUNT - taken;
    }
    return free;
  }

  /** Ports of all addresses that are leased. */
  get leasedPortCount(): number {
    let leased = 0;
    for (const { table } of this.#addresses.values()) leased += portsLeased(table);
    return leased;
  }

  /** What a host is to serve. */
  ipsOf(host: string): readonly string[] {
    return this.#servedBy(this.#assignments).get(host)!;
  }

  /** Pairs of host and address. */
  get assignmentCount(): number {
    return this.#assignments.length;
  }

  #decide(): void {
    this.#isDue = false;
    this.decisionCount += 1;
    const least = Math.max(minimumOf(this.#settings), portCountOf(this.#settings.firstBlockOrder));
    const before = new Map<string, string>();
    for (const [host, ips] of this.#servedBy(this.#assignments)) before.set(host, ips.join());
    const rooms = Array.from(this.#hosts.values(), (known) => known.rooms);
    const free = freePortCounts(rooms, this.#settings.maxPortsPerHost);
    this.#assignments = assignAddresses(
      Array.from(this.#hosts, ([host, known]) => assignable(host, known)),
      this.ips.map((ip) => ({
        ip,
        sites: [],
        isDrained: false,
        isRetiring: false,
        freePortCount: free.get(ip) ?? LEASABLE_PORT_COUNT,
      })),
      this.#assignments,
      {
        leastHosts: this.#settings.minHostsPerIp,
        mostHosts: Math.floor(LEASABLE_PORT_COUNT / least),
      },
    );
    for (const [host, ips] of this.#servedBy(this.#assignments)) {
      if (before.get(host) !== ips.join()) this.#tell(host, ips);
    }
  }

  #servedBy(assignments: readonly Assignment[]): Map<string, string[]> {
    const served = new Map<string, string[]>(Array.from(this.#hosts.keys(), (host) => [host, []]));
    for (const { host, ip, state } of assignments) if (state !== "leaving") served.get(host)!.push(ip);
    return served;
  }
}

function assignable(host: string, { rooms, demand }: PoolHost): AssignableHost {
  return {
    host,
    site: null,
    weight: 1,
    isLive: true,
    isDrained: false,
    addressCounts: { 4: demand.addressCount },
    established: new Set(rooms.filter(({ portCount }) => portCount > 0).map(({ ip }) => ip)),
    absent: new Set(),
    ports: { 4: portsOf(usesOf(rooms)) },
  };
}

function usesOf(rooms: readonly AddressCapacity[]): { busiestCount: number; limit: number }[] {
  return rooms
    .filter(({ portCount }) => portCount > 0)
    .map(({ busiestCount, limit }) => ({ busiestCount, limit: limit! }));
}

function standingOf(rooms: readonly AddressCapacity[]): string {
  return rooms.map(({ ip, portCount }) => `${ip} ${portCount > 0}`).join();
}

function commandOf(request: LeaseRequest, host: string, session: number): LeaseCommand {
  if (request.type === "join") return { type: "join", host, instance: request.instance };
  return { ...request, host, session };
}

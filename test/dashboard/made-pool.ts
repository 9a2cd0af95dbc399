/**
 * A pool that is made up: hosts, addresses and tables that change, of any size, always the same for one
 * seed. What the page shows of it can be compared with what is here.
 */
import type { AnswerOf } from "../../src/api/edge-api.ts";
import type { CountSlot, LiveDecision, PastCounts, WatchedHost } from "../../src/core/live-view.ts";
import { DEFAULT_POOL_SETTINGS } from "../../src/core/pool-settings.ts";
import {
  FIRST_LEASABLE_PORT,
  LEASABLE_PORT_COUNT,
  PORT_END,
  portCountOf,
} from "../../src/core/port-block.ts";

export type Pool = AnswerOf<"getPool">;
export type Address = AnswerOf<"getIp">;
type Block = Address["blocks"][number];
type Mutable<T> = { -readonly [Key in keyof T]: T[Key] };

/** What is made up. */
export interface MadePoolOptions {
  readonly pool: string;
  readonly hostCount: number;
  readonly addressCount: number;
  readonly hostsPerAddress?: number;
  readonly routerCount?: number;
  readonly seed?: number;
  /** In place of the names of hosts, from the first on. */
  readonly hostNames?: readonly string[];
  readonly nowMs?: number;
}

const CODES = ["port-block-exhausted", "destination-denied", "dial-failed", "tenant-limit", "draining"];
const REFUSED = ["destination-blocked", ...CODES];

/** The pool. */
export class MadePool {
  readonly pool: string;
  readonly hosts: Pool["hosts"][number][];
  readonly ips: Pool["ips"][number][];
  readonly routers: Pool["routers"][number][];
  readonly tables = new Map<string, Mutable<Address> & { blocks: Block[] }>();
  sequence = 5000;
  readonly #random: () => number;
  readonly #startMs: number;
  #epoch = 1;

  constructor(options: MadePoolOptions) {
    const { pool, hostCount, addressCount, hostsPerAddress = 4, routerCount = 2 } = options;
    this.pool = pool;
    this.#random = randomFrom(options.seed ?? 15);
    this.#startMs = options.nowMs ?? Date.now();
    const names = Array.from({ length: hostCount }, (_, at) => options.hostNames?.[at] ?? `web-${at + 1}`);
    const ips = Array.from({ length: addressCount }, (_, at) => addressAt(at));
    ips.forEach((ip, at) => {
      const serving = Array.from(
        { length: Math.min(hostsPerAddress, hostCount) },
        (_, step) => names[(at * hostsPerAddress + step) % hostCount]!,
      );
      // The first is nearly full, as one is that somebody is to look at.
      this.tables.set(ip, this.#madeTable(serving, at === 0 ? 0.94 : 0.25 + 0.5 * this.#random()));
    });
    this.hosts = names.map((host, at) => this.#madeHost(host, at));
    this.ips = ips.map((ip, at) => this.#madeIp(ip, at));
    this.routers = Array.from({ length: routerCount }, (_, at) => ({
      router: `router-${at + 1}`,
      live: true,
      ready: true,
      acknowledged: this.sequence - (at === 1 ? 3 : 0),
      lagging: at === 1,
      seenAtMs: this.#startMs,
    }));
  }

  /** As `GET /v1/pools/{pool}` answers. */
  answer(): Pool {
    return {
      pool: this.pool,
      settings: DEFAULT_POOL_SETTINGS,
      ips: this.ips,
      hosts: this.hosts,
      slots: null,
      steeringSequence: this.sequence,
      routers: this.routers,
      policyVersion: 3,
    };
  }

  /** Changes a block of an address: a lease ends, a quarantine ends, or ports are granted. */
  change(
    ip: string,
    nowMs: number,
  ): { readonly blocks: readonly Block[]; readonly goneEpochs: readonly number[] } {
    const table = this.tables.get(ip)!;
    const { blocks } = table;
    const at = Math.floor(this.#random() * blocks.length);
    const block = blocks[at]!;
    table.lastEpoch = this.#epoch;
    if (block.state === "leased") {
      const ended: Block = { ...block, state: "quarantined", endedAtMs: nowMs, freeAtMs: nowMs + 120_000 };
      blocks[at] = ended;
      return { blocks: [ended], goneEpochs: [] };
    }
    const granted = this.#granted(block, this.#one(table.holders).host, nowMs);
    blocks[at] = granted;
    return { blocks: [granted], goneEpochs: [block.epoch] };
  }

  /** Grants the first free block of 64 ports to a host; null when none is free. */
  grant(ip: string, host: string, nowMs: number): Block | null {
    const table = this.tables.get(ip)!;
    for (let base = FIRST_LEASABLE_PORT; base < PORT_END; base += 64) {
      const isTaken = table.blocks.some(
        (block) => base >= block.base && base < block.base + portCountOf(block.order),
      );
      if (isTaken) continue;
      const granted = this.#granted({ base, order: 6 }, host, nowMs);
      table.blocks.push(granted);
      table.freePortCount -= 64;
      return granted;
    }
    return null;
  }

  /** What each host tells while it is watched. */
  watched(nowMs: number): Record<string, WatchedHost> {
    const live = this.hosts.filter((host) => host.live);
    return Object.fromEntries(live.map((host, at) => [host.host, this.#watchedHost(host, at, nowMs)]));
  }

  /** What all hosts remember. */
  past(nowMs: number): PastCounts {
    const slots = (count: number, stepMs: number): CountSlot[] =>
      Array.from({ length: count }, (_, at) => {
        const atMs = Math.floor(nowMs / stepMs) * stepMs - (count - at) * stepMs;
        return this.#slot(atMs, stepMs / 60_000);
      });
    return { minutes: slots(59, 60_000), quarters: slots(95, 900_000) };
  }

  /** A decision of one of the hosts. */
  decision(nowMs: number): LiveDecision & { readonly host: string } {
    const host = this.#one(this.hosts.filter((each) => each.live)).host;
    const [ip] = this.#one([...this.tables]);
    const draw = this.#random();
    const shared = {
      atMs: nowMs,
      host,
      requestId: Math.floor(this.#random() * 2 ** 44).toString(36),
      tenant: this.#one(["shop", "crawler", "billing"]),
      client: this.#one(["cart", "prices", "invoices"]),
      ip,
      port: FIRST_LEASABLE_PORT + Math.floor(this.#random() * LEASABLE_PORT_COUNT),
      tookMs: 5 + this.#random() * 200,
    };
    if (draw < 0.15) return { ...shared, decision: "refused", code: this.#one(REFUSED) };
    if (draw < 0.35)
      return { ...shared, decision: "admitted", kind: this.#one(["connect", "websocket", "socks5"]) };
    return { ...shared, decision: "answered", status: this.#one([200, 200, 200, 204, 301, 404, 503]) };
  }

  #madeTable(hosts: readonly string[], share: number): Mutable<Address> & { blocks: Block[] } {
    const blocks: Block[] = [];
    let base = FIRST_LEASABLE_PORT;
    let free = 0;
    while (base < PORT_END) {
      let order = 6 + Math.floor(this.#random() * 7);
      while (base % portCountOf(order) !== 0 || base + portCountOf(order) > PORT_END) order -= 1;
      if (this.#random() < share) {
        const block = this.#granted(
          { base, order },
          this.#one(hosts),
          this.#startMs - Math.floor(this.#random() * 5_000_000),
        );
        const isQuiet = this.#random() < 0.15;
        blocks.push(
          isQuiet
            ? {
                ...block,
                state: "quarantined",
                endedAtMs: this.#startMs - 40_000,
                freeAtMs: this.#startMs + 80_000,
              }
            : block,
        );
      } else free += portCountOf(order);
      base += portCountOf(order);
    }
    return {
      pool: this.pool,
      retiring: false,
      settings: DEFAULT_POOL_SETTINGS,
      lastEpoch: this.#epoch,
      freePortCount: free,
      holders: hosts.map((host, at) => ({ host, session: at + 1, expiresAtMs: this.#startMs + 480_000 })),
      blocks,
    };
  }

  #granted({ base, order }: { base: number; order: number }, host: string, nowMs: number): Block {
    this.#epoch += 1;
    this.sequence += 1;
    return {
      base,
      order,
      epoch: this.#epoch,
      host,
      state: "leased",
      grantedAtMs: nowMs,
      endedAtMs: null,
      freeAtMs: null,
      steered: true,
    };
  }

  #heldBy(host: string, ip: string): number {
    const { blocks } = this.tables.get(ip)!;
    return blocks.reduce(
      (sum, block) => sum + (block.host === host && block.state === "leased" ? portCountOf(block.order) : 0),
      0,
    );
  }

  #madeHost(host: string, at: number): Pool["hosts"][number] {
    const served = [...this.tables].filter(([, { holders }]) =>
      holders.some((holder) => holder.host === host),
    );
    const uplink = at === 2 ? "suspect" : "good";
    return {
      host,
      gateway: `https://${at + 1}.gateways.example:8443`,
      live: at !== 4,
      draining: false,
      reach: { ipv4: `10.0.${at >> 8}.${at & 255}`, ipv6: null },
      site: at % 2 === 0 ? "fra1" : "ams2",
      weight: 1,
      uplink,
      rooms: served.map(([ip]) => {
        const portCount = this.#heldBy(host, ip);
        return {
          ip,
          portCount,
          busiestCount: Math.floor(portCount * 0.3),
          busiestDestination: portCount === 0 ? null : { protocol: "tcp", ip: "203.0.113.80", port: 443 },
          uplink,
          destinationCount: 40,
          failedCount: at === 2 ? 9 : 0,
        };
      }),
      leaving: [],
      drain:
        at === 6
          ? { state: "draining", sinceMs: this.#startMs - 60_000, portCount: 320, flowCount: 12 }
          : null,
      policyVersion: 3,
      slots: [],
    };
  }

  #madeIp(ip: string, at: number): Pool["ips"][number] {
    const held = this.hosts.reduce((sum, { host }) => sum + this.#heldBy(host, ip), 0);
    return {
      ip,
      advertised: null,
      country: at % 3 === 0 ? "de" : "nl",
      sites: [],
      tags: at === 0 ? ["payments"] : [],
      retiring: null,
      drain: null,
      busiestDestination:
        held === 0
          ? null
          : {
              protocol: "tcp",
              ip: "203.0.113.80",
              port: 443,
              portCount: Math.floor(held * (at === 1 ? 0.86 : 0.3)),
            },
    };
  }

  #watchedHost(host: Pool["hosts"][number], at: number, nowMs: number): WatchedHost {
    const load = 0.2 + 0.75 * wave(nowMs / 30_000 + at);
    return {
      version: at === 3 ? "0.0.9" : "0.1.0",
      startedAtMs: this.#startMs - 86_400_000 - at * 1000,
      processCount: 1 + (at % 4),
      runningCount: Math.floor(40 * load),
      addresses: host.rooms.map(({ ip }) => {
        const blocks = this.tables
          .get(ip)!
          .blocks.filter((block) => block.host === host.host && block.state === "leased")
          .map(({ base, order }) => {
            const part = Math.min(1, load * (0.4 + 0.8 * wave(base / 700)));
            return [base, portCountOf(order), Math.floor(portCountOf(order) * part)] as const;
          });
        return {
          ip,
          renewedAtMs: nowMs - 100_000,
          renewsAtMs: nowMs + 80_000,
          endsAtMs: nowMs + 500_000,
          inUseCount: blocks.reduce((sum, [, , inUse]) => sum + inUse, 0),
          blocks,
        };
      }),
      minute: this.#slot(Math.floor(nowMs / 60_000) * 60_000, (nowMs % 60_000) / 60_000 / this.hosts.length),
    };
  }

  /** It depends on nothing but its time, so that a minute only grows. */
  #slot(atMs: number, times: number): CountSlot {
    const load = wave(atMs / 1_200_000) + 0.3 * wave(atMs / 130_000);
    return {
      atMs,
      requestCount: Math.floor(9000 * load * times),
      flowCount: Math.floor(700 * load * times),
      refusals: Object.fromEntries(
        CODES.map((code, at) => [code, Math.floor((160 * times * wave(atMs / 700_000 + at * 2)) / (at + 1))]),
      ),
      portCount: Math.floor(20_000 * load * (times < 1 ? 1 / this.hosts.length : 1)),
    };
  }

  #one<T>(items: readonly T[]): T {
    return items[Math.floor(this.#random() * items.length)]!;
  }
}

/** From 0 to 1 and back. */
function wave(at: number): number {
  return (1 + Math.sin(at)) / 2;
}

function addressAt(at: number): string {
  return at < 254 ? `192.0.2.${at + 1}` : `198.18.${(at - 254) >> 8}.${(at - 254) & 255}`;
}

/** Mulberry32: enough for what is made up. */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

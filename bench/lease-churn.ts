/**
 * Does what a lease costs depend on how full its address is? Decisions of the table alone, without
 * disk and messages: 31 hosts acquire the smallest block and release it, or renew, while 31 others
 * hold 0 to 1,000 blocks. Each is set beside the same on the empty address. Renewals of those that hold
 * blocks are beside them for information: an answer lists what its host holds.
 */
import { execute, type Lease, type LeaseAnswer, type LeaseCommand } from "../src/core/lease-commands.ts";
import { emptyLeaseTable, type LeaseTable, nextDeadlineMs } from "../src/core/lease-table.ts";
import { DEFAULT_POOL_SETTINGS } from "../src/core/pool-settings.ts";
import { MIN_ORDER } from "../src/core/port-block.ts";
import { roomFor, settingsFor } from "../src/core/share.ts";
import { compared, median, nowMs, plain, type Row } from "./report.ts";

const HOST_COUNT = 31;
const MOST_ROWS = 1_000;
const ROW_COUNTS = [0, 250, 500, MOST_ROWS] as const;
/** Has no divisor with the number of rows in common, so that it comes by all of them. */
const STRIDE = 617;
const ROUNDS = 9;
const TIMES_PER_ROUND = 200;
/** Time on a full address may at most be so many times that on an empty one. */
const INDEPENDENT = 1.5;
/** Time stands still, so that each decision finds what the one before it left. */
const START_MS = 1_000_000;

interface Address {
  readonly table: LeaseTable;
  readonly asking: readonly string[];
  readonly holding: readonly string[];
}

interface Case {
  readonly name: string;
  /** Whether it should cost the same on each address. */
  readonly isIndependent: boolean;
  /** Carries it out once for each host. */
  readonly carryOut: (address: Address) => void;
}

const CASES: readonly Case[] = [
  {
    name: "grants",
    isIndependent: true,
    carryOut: ({ table, asking }) => {
      for (const host of asking) release(table, host, acquire(table, host));
    },
  },
  {
    name: "renewals",
    isIndependent: true,
    carryOut: ({ table, asking }) => renewAll(table, asking),
  },
  {
    name: "renewals of holders",
    isIndependent: false,
    carryOut: ({ table, holding }) => renewAll(table, holding),
  },
  {
    name: "room and deadline",
    isIndependent: true,
    carryOut: ({ table, asking }) => {
      for (const host of asking) {
        settingsFor(table, host, START_MS);
        roomFor(table, host, START_MS);
        nextDeadlineMs(table);
      }
    },
  },
];

/** Measures each case on each address, in turn. */
export function measureLeaseChurn(): Row[] {
  const rows: Row[] = [];
  for (const { name, isIndependent, carryOut } of CASES) {
    const addresses = ROW_COUNTS.map((count) => ({
      count,
      address: addressWith(count),
      figures: [] as number[],
    }));
    for (let round = 0; round <= ROUNDS; round += 1) {
      for (const { address, figures } of addresses) {
        const startMs = nowMs();
        for (let time = 0; time < TIMES_PER_ROUND; time += 1) carryOut(address);
        // The first round is to warm up.
        if (round > 0) figures.push((TIMES_PER_ROUND * HOST_COUNT * 1000) / (nowMs() - startMs));
      }
    }
    const [empty, ...fuller] = addresses.map(({ count, figures }) => ({ count, ours: median(figures) }));
    rows.push(plain(`${name}, ${empty!.count} rows`, "per second", empty!.ours));
    for (const { count, ours } of fuller) {
      rows.push(
        compared({
          case: `${name}, ${count} rows`,
          unit: "per second",
          better: "more",
          ours,
          peer: empty!.ours,
          peerName: `ours with ${empty!.count}`,
          goal: isIndependent ? 1 / INDEPENDENT : null,
        }),
      );
    }
  }
  return rows;
}

/** An address of which others hold so many blocks, scattered as chance has it. */
function addressWith(rowCount: number): Address {
  const table = emptyLeaseTable({
    ...DEFAULT_POOL_SETTINGS,
    quarantineMs: 0,
    minPortsPerHost: 0,
    maxPortsPerHost: 64_512,
  });
  const [asking, holding] = ["asks", "holds"].map((name) =>
    Array.from({ length: HOST_COUNT }, (_, at) => `${name}-${at}`),
  ) as [string[], string[]];
  for (const host of [...asking, ...holding]) must(table, { type: "join", host, instance: `${host}-disk` });
  const leases = Array.from({ length: MOST_ROWS }, (_, at) => {
    const host = holding[at % HOST_COUNT]!;
    return { host, lease: acquire(table, host) };
  });
  // They were granted side by side, and are given back here and there.
  for (const [at, { host, lease }] of leases.entries()) {
    if ((at * STRIDE) % MOST_ROWS >= rowCount) release(table, host, lease);
  }
  must(table, { type: "tick" });
  return { table, asking, holding };
}

function acquire(table: LeaseTable, host: string): Lease {
  const session = sessionOf(table, host);
  const requestId = `request-${table.lastEpoch + 1}`;
  return must(table, { type: "acquire", host, session, requestId, order: MIN_ORDER }).granted!;
}

function release(table: LeaseTable, host: string, { base, epoch }: Lease): void {
  must(table, { type: "release", host, session: sessionOf(table, host), base, epoch });
}

function renewAll(table: LeaseTable, hosts: readonly string[]): void {
  for (const host of hosts) must(table, { type: "renew", host, session: sessionOf(table, host) });
}

function sessionOf(table: LeaseTable, host: string): number {
  return table.holders.get(host)!.session;
}

function must(table: LeaseTable, command: LeaseCommand): LeaseAnswer {
  const { outcome } = execute(table, command, START_MS, Math.random);
  if (!outcome.ok) throw new Error(`refused: ${outcome.refusal}`);
  return outcome.value;
}

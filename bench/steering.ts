/**
 * Is steering as fast as plain forwarding, and as quick to change at any size? Small packets
 * for 1, 1,000 and 10,000 addresses of 32 holders each, through routers that steer, by each back end, and one
 * that only forwards, in turn. Every packet is for another address and port, at random: the
 * worst case, since no cache has the element that it asks for. Then grants, at the same sizes.
 */
import { readFileSync } from "node:fs";
import type { SteeringKernel } from "../src/router/steering/steering-kernel.ts";
import { compared, median, plain, quantile, type Row } from "./report.ts";
import { measureGrants } from "./steering-grant.ts";
import { BACK_ENDS, type BackEnd, nameOf, type Source, SteeringRig, type Way } from "./steering-rig.ts";

const ADDRESS_COUNTS = [1, 1000, 10_000] as const;
const SOURCES: readonly Source[] = ["frames", "socket"];
const SOURCE_NAMES: Readonly<Record<Source, string>> = {
  frames: "frames of the kernel",
  socket: "packets from a socket",
};
/** Of plain forwarding, the generator included and taken out. */
const GOALS: Readonly<Record<BackEnd, { readonly whole: number | null; readonly alone: number | null }>> = {
  xdp: { whole: 2, alone: 3 },
  nft: { whole: 0.95, alone: null },
};
const ROUND_COUNT = 9;
const WINDOW_MS = 500;
const MOVE_COUNT = 60;
const LONGEST_MOVE_MS: Readonly<Record<BackEnd, number>> = { xdp: 1, nft: 10 };
/** Goals of XDP, in seconds. */
const LONGEST_LOAD_SECONDS = 2;
const LONGEST_START_SECONDS = 2;
/** `USER_HZ`, which Linux has had for ever. */
const TICKS_PER_SECOND = 100;

/** Needs root, trafgen, gcc, clang and bpftool. */
export async function measureSteering(): Promise<Row[]> {
  const rows = await measureKernel();
  for (const backEnd of BACK_ENDS) rows.push(...(await measureGrants(ADDRESS_COUNTS, backEnd)));
  return rows;
}

async function measureKernel(): Promise<Row[]> {
  const rig = await SteeringRig.create();
  try {
    const rows: Row[] = [];
    for (const addressCount of ADDRESS_COUNTS) rows.push(...(await measureAt(rig, addressCount)));
    return rows;
  } finally {
    await rig.destroy();
  }
}

async function measureAt(rig: SteeringRig, addressCount: number): Promise<Row[]> {
  const rows: Row[] = [];
  for (const backEnd of BACK_ENDS) rows.push(...(await measureLoad(rig, backEnd, addressCount)));
  for (const source of SOURCES) rows.push(...(await measurePace(rig, source, addressCount)));
  for (const backEnd of BACK_ENDS) {
    rows.push(...(await measureMoves(rig, backEnd, nameOf(addressCount))));
    rows.push(...(await measureStart(rig, backEnd, addressCount)));
  }
  return rows;
}

/** The whole table into a kernel that has nothing. */
async function measureLoad(rig: SteeringRig, backEnd: BackEnd, addressCount: number): Promise<Row[]> {
  const kernel = rig.kernelOf(backEnd);
  const table = rig.tableOf(addressCount);
  await kernel.remove();
  await kernel.close();
  const taken = await timesOf(kernel, () => kernel.repair(table));
  return timed(
    `${backEnd}, ${nameOf(addressCount)}: whole table`,
    "to load",
    backEnd,
    taken,
    LONGEST_LOAD_SECONDS,
  );
}

/** A router that starts while the kernel has it all. */
async function measureStart(rig: SteeringRig, backEnd: BackEnd, addressCount: number): Promise<Row[]> {
  const kernel = rig.newKernel(backEnd);
  const table = rig.tableOf(addressCount);
  const taken = await timesOf(kernel, () => kernel.repair(table));
  const name = `${backEnd}, ${nameOf(addressCount)}: a router starts again`;
  return timed(name, "until it is ready", backEnd, taken, LONGEST_START_SECONDS);
}

/** What work has taken by the clock, and of processors, by this process and by those that it has started. */
interface Taken {
  readonly seconds: number;
  readonly cpuSeconds: number;
}

function timed(name: string, unit: string, backEnd: BackEnd, taken: Taken, longest: number): Row[] {
  const cpu = plain(name, `s of CPU ${unit}`, taken.cpuSeconds);
  if (backEnd === "nft") return [plain(name, `s ${unit}`, taken.seconds), cpu];
  const about = { peer: longest, peerName: "longest allowed", goal: 1 };
  return [compared({ case: name, unit: `s ${unit}`, better: "less", ours: taken.seconds, ...about }), cpu];
}

/** A process counts for its parent when it has ended, so the kernel is closed. */
async function timesOf(kernel: SteeringKernel, work: () => Promise<unknown>): Promise<Taken> {
  const [startMs, before] = [performance.now(), cpuSeconds()];
  await work();
  const seconds = (performance.now() - startMs) / 1000;
  await kernel.close();
  return { seconds, cpuSeconds: cpuSeconds() - before };
}

/** Of this process and of those that it has started and that have ended. */
function cpuSeconds(): number {
  const words = readFileSync("/proc/self/stat", "utf8").split(") ").at(-1)!.split(" ");
  const ticks = words.slice(11, 15).map(Number);
  return ticks.reduce((sum, count) => sum + count, 0) / TICKS_PER_SECOND;
}

/**
 * By processor time, not by the clock, since others may use the processor too. The generator
 * is in it, as it is for the peer; the second row is without.
 */
async function measurePace(rig: SteeringRig, source: Source, addressCount: number): Promise<Row[]> {
  const costs: Record<Way, number[]> = { xdp: [], nft: [], plain: [], nowhere: [] };
  for (let round = 0; round < ROUND_COUNT; round += 1) {
    for (const way of ["xdp", "plain", "nft", "nowhere"] as const) {
      costs[way].push(await rig.run(way, source, addressCount, WINDOW_MS));
    }
  }
  const [peer, generator] = [median(costs.plain), median(costs.nowhere)];
  const peerName = "plain forwarding";
  const suffix = `${nameOf(addressCount)}, ${SOURCE_NAMES[source]}`;
  return [
    plain(`the generator alone: ${suffix}`, "packets/s of one CPU", 1e6 / generator),
    ...BACK_ENDS.flatMap((backEnd) => {
      const ours = median(costs[backEnd]);
      const { whole, alone } = GOALS[backEnd];
      const pace = {
        unit: "packets/s of one CPU",
        better: "more",
        ours: 1e6 / ours,
        peer: 1e6 / peer,
      } as const;
      const cost = { unit: "µs of CPU a packet", better: "less", ours: ours - generator } as const;
      return [
        compared({ case: `${backEnd}: ${suffix}`, ...pace, peerName, goal: whole }),
        compared({
          case: `${backEnd}: ${suffix}, router alone`,
          ...cost,
          peer: peer - generator,
          peerName,
          goal: alone,
        }),
      ];
    }),
  ];
}

async function measureMoves(rig: SteeringRig, backEnd: BackEnd, name: string): Promise<Row[]> {
  const times: number[] = [];
  for (let at = 0; at < MOVE_COUNT; at += 1) times.push(await rig.move(backEnd, "198.18.0.0", at % 2 === 1));
  const about = { unit: "ms", better: "less", peerName: "longest allowed" } as const;
  return [
    compared({
      ...about,
      case: `${backEnd}, ${name}: one block's move`,
      ours: median(times),
      peer: LONGEST_MOVE_MS[backEnd],
      goal: 1,
    }),
    plain(`${backEnd}, ${name}: one block's move, 95th of 100`, "ms", quantile(times, 0.95)),
  ];
}

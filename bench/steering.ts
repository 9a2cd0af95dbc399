/**
 * Is steering as fast as plain forwarding, and as quick to change at any size? Small packets
 * to addresses and ports at random, at 1, 1,000 and 10,000 addresses of 32 holders each,
 * through a router that steers and one that only forwards, in turn.
 */
import { compared, median, plain, type Row } from "./report.ts";
import { type Pace, SteeringRig, type Way } from "./steering-rig.ts";

const ADDRESS_COUNTS = [1, 1000, 10_000] as const;
const ROUND_COUNT = 7;
const WINDOW_MS = 1000;
const MOVE_COUNT = 60;
const GOAL = 0.95;
const LONGEST_MOVE_MS = 10;

/** Needs root and trafgen. */
export async function measureSteering(): Promise<Row[]> {
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
  const name = `${addressCount.toLocaleString("en")} ${addressCount === 1 ? "address" : "addresses"}`;
  const startMs = performance.now();
  const { addedCount } = await rig.kernel.repair(rig.tableOf(addressCount));
  const loadSeconds = (performance.now() - startMs) / 1000;
  const paces: Record<Way, Pace[]> = { steering: [], plain: [], nowhere: [] };
  for (let round = 0; round < ROUND_COUNT; round += 1) {
    for (const way of ["steering", "plain", "nowhere"] as const) {
      paces[way].push(await rig.run(way, addressCount, WINDOW_MS));
    }
  }
  const rates = (way: Way): number => median(paces[way].map(({ packetsPerSecond }) => packetsPerSecond));
  const costs = (way: Way): number => median(paces[way].map(({ cpuPerPacketUs }) => cpuPerPacketUs));
  const peerName = "plain forwarding";
  return [
    compared({
      case: `${name}, generator included`,
      unit: "packets/s",
      better: "more",
      ours: rates("steering"),
      peer: rates("plain"),
      peerName,
      goal: GOAL,
    }),
    compared({
      case: `${name}, generator included`,
      unit: "µs of CPU a packet",
      better: "less",
      ours: costs("steering"),
      peer: costs("plain"),
      peerName,
      goal: GOAL,
    }),
    compared({
      case: `${name}, router alone`,
      unit: "µs of CPU a packet",
      better: "less",
      ours: costs("steering") - costs("nowhere"),
      peer: costs("plain") - costs("nowhere"),
      peerName,
      goal: null,
    }),
    await measureMoves(rig, name),
    plain(`${name}: whole table, ${addedCount.toLocaleString("en")} elements more`, "s to load", loadSeconds),
  ];
}

async function measureMoves(rig: SteeringRig, name: string): Promise<Row> {
  const times: number[] = [];
  for (let at = 0; at < MOVE_COUNT; at += 1) times.push(await rig.move("198.18.0.0", at % 2 === 1));
  return compared({
    case: `${name}: one block's move`,
    unit: "ms",
    better: "less",
    ours: median(times),
    peer: LONGEST_MOVE_MS,
    peerName: "longest allowed",
    goal: 1,
  });
}

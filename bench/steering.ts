/**
 * Is steering as fast as plain forwarding, and as quick to change at any size? Small packets
 * for 1, 1,000 and 10,000 addresses of 32 holders each, through a router that steers and one
 * that only forwards, in turn. Every packet is for another address and port, at random: the
 * worst case, since no cache has the element that it asks for. Then grants, at the same sizes.
 */
import { compared, median, plain, type Row } from "./report.ts";
import { measureGrants } from "./steering-grant.ts";
import { nameOf, SteeringRig, type Way } from "./steering-rig.ts";

const ADDRESS_COUNTS = [1, 1000, 10_000] as const;
const ROUND_COUNT = 15;
const WINDOW_MS = 600;
const MOVE_COUNT = 60;
const GOAL = 0.95;
const LONGEST_MOVE_MS = 10;

/** Needs root and trafgen. */
export async function measureSteering(): Promise<Row[]> {
  return [...(await measureKernel()), ...(await measureGrants(ADDRESS_COUNTS))];
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
  const name = nameOf(addressCount);
  const startMs = performance.now();
  const { addedCount } = await rig.kernel.repair(rig.tableOf(addressCount));
  const loadSeconds = (performance.now() - startMs) / 1000;
  return [
    ...(await measurePace(rig, addressCount, name)),
    await measureMoves(rig, name),
    plain(`${name}: whole table, ${addedCount.toLocaleString("en")} elements more`, "s to load", loadSeconds),
  ];
}

/**
 * By processor time, not by the clock, since others may use the processor too. The generator
 * is in it, as it is for the peer; the second row is without.
 */
async function measurePace(rig: SteeringRig, addressCount: number, name: string): Promise<Row[]> {
  const costs: Record<Way, number[]> = { steering: [], plain: [], nowhere: [] };
  for (let round = 0; round < ROUND_COUNT; round += 1) {
    for (const way of ["steering", "plain", "nowhere"] as const) {
      costs[way].push(await rig.run(way, addressCount, WINDOW_MS));
    }
  }
  const [ours, peer, generator] = [median(costs.steering), median(costs.plain), median(costs.nowhere)];
  const peerName = "plain forwarding";
  return [
    compared({
      case: name,
      unit: "packets/s of one CPU",
      better: "more",
      ours: 1e6 / ours,
      peer: 1e6 / peer,
      peerName,
      goal: GOAL,
    }),
    compared({
      case: `${name}, router alone`,
      unit: "µs of CPU a packet",
      better: "less",
      ours: ours - generator,
      peer: peer - generator,
      peerName,
      goal: null,
    }),
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

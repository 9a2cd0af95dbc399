/**
 * What does it cost to translate into units of leased ports? Against the kernel's own masquerading, and where ports run
 * short against one range as wide as all units: senders, host and far end are network namespaces, each way of
 * translating has its own, and all are measured by turns.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { UNIT_PORT_COUNT } from "../src/core/port-block.ts";
import { removeLeftovers } from "../test/lab/namespaces.ts";
import { compared, median, type Row } from "./report.ts";
import { ours } from "./snat/ours.ts";
import { buildPrograms, type Holder, SnatRig, type Throughput } from "./snat/rig.ts";
import { masquerade, type Translation, wideRange } from "./snat/translations.ts";

const FIRST_UNIT = 160;
const ONE_UNIT = unitsOf(1);
const UNITS = unitsOf(64);
const PORT_COUNT = UNITS.length * UNIT_PORT_COUNT;
/** Many short turns, so that what else the machine does is spread over all. */
const ROUNDS = 15;
const SECONDS = 0.6;
const STREAM_COUNTS = [1, 8];
const DATAGRAM_SOCKETS = 32;
const GOAL = 0.95;
/** Connections towards one destination are opened so many at a time, with a look between. */
const STEP = 64;
/** How full the ports are before and after, in per cent. */
const FILLINGS = [
  [0, 90],
  [90, 95],
  [95, 97],
] as const;
const FILL_ROUNDS = 3;

/** The figures of each way, one of each round. */
type Figures = Map<SnatRig, Throughput[]>;

export async function measureSnat(): Promise<Row[]> {
  if (process.getuid?.() !== 0) throw new Error("this needs root, to make network namespaces");
  removeLeftovers();
  const programs = await mkdtemp(join(tmpdir(), "ipshard-bench-snat-"));
  buildPrograms(programs);
  const rigs: SnatRig[] = [];
  const standing = async (translation: Translation): Promise<SnatRig> => {
    const rig = await SnatRig.create(translation, programs);
    rigs.push(rig);
    return rig;
  };
  try {
    const own = await standing(ours());
    const peer = await standing(masquerade());
    const wide = await standing(wideRange());
    return [
      ...(await callRows(own, peer)),
      ...(await pourRows(own, peer)),
      ...(await guardRows(own)),
      ...(await fillRows(own, wide)),
    ];
  } finally {
    for (const rig of rigs) await rig.destroy();
    await rm(programs, { recursive: true, force: true });
  }
}

async function callRows(own: SnatRig, peer: SnatRig): Promise<Row[]> {
  const cases: readonly (readonly [string, readonly number[], number])[] = [
    ["connections, 1 unit", ONE_UNIT, 0],
    ["connections, 64 units", UNITS, 0],
    ["connections, 64 units, 10 % of the ports in use", UNITS, 0.1],
    ["connections, 64 units, 90 % of the ports in use", UNITS, 0.9],
  ];
  const rows: Row[] = [];
  for (const [name, units, share] of cases) {
    const holders = new Map<SnatRig, Holder>();
    for (const rig of [own, peer]) {
      await rig.begin(units);
      holders.set(rig, await holding(rig, Math.round(share * PORT_COUNT)));
    }
    const figures = await byTurns([own, peer], (rig) => rig.call(SECONDS));
    for (const holder of holders.values()) await holder.close();
    rows.push(...rowsOf(name, figures, own, peer));
  }
  return rows;
}

/** Somebody who keeps so many connections to one destination, opened step by step. */
async function holding(rig: SnatRig, count: number): Promise<Holder> {
  const holder = rig.holder();
  for (let held = 0; held < count; held += STEP) {
    await holder.open(Math.min(STEP, count - held));
    await rig.translation.settle();
  }
  return holder;
}

async function pourRows(own: SnatRig, peer: SnatRig): Promise<Row[]> {
  for (const rig of [own, peer]) await rig.begin(UNITS);
  const rows: Row[] = [];
  for (const count of STREAM_COUNTS) {
    const figures = await byTurns([own, peer], async (rig) => {
      const { perSecond, cpuUsEach } = await rig.pour("bytes", count, SECONDS);
      return { perSecond: (perSecond * 8) / 1e9, cpuUsEach: (cpuUsEach * 1e9) / 8 };
    });
    rows.push(...rowsOf(`Gbit of ${count === 1 ? "1 stream" : `${count} streams`}`, figures, own, peer));
  }
  const figures = await byTurns([own, peer], (rig) => rig.pour("datagrams", DATAGRAM_SOCKETS, SECONDS));
  return [...rows, ...rowsOf("datagrams of 64 octets", figures, own, peer)];
}

/** What the guard takes of a datagram: its table is taken out of the kernel for every other turn. */
async function guardRows(own: SnatRig): Promise<Row[]> {
  const [guarded, bare]: [number[], number[]] = [[], []];
  for (let round = 0; round < ROUNDS; round += 1) {
    await own.begin(UNITS);
    guarded.push((await own.pour("datagrams", DATAGRAM_SOCKETS, SECONDS)).cpuUsEach);
    await own.withoutGuard();
    bare.push((await own.pour("datagrams", DATAGRAM_SOCKETS, SECONDS)).cpuUsEach);
  }
  return [
    compared({
      case: "datagrams of 64 octets, the guard's part",
      unit: "µs CPU",
      better: "less",
      ours: median(guarded),
      peer: median(bare),
      peerName: "ours without it",
      goal: null,
    }),
  ];
}

/** How many in a second, and what the processor has to do for each. */
function rowsOf(name: string, figures: Figures, own: SnatRig, peer: SnatRig): Row[] {
  const middle = (rig: SnatRig, figure: keyof Throughput): number =>
    median(figures.get(rig)!.map((throughput) => throughput[figure]));
  const peerName = peer.translation.name;
  return [
    compared({
      case: name,
      unit: "1/s",
      better: "more",
      ours: middle(own, "perSecond"),
      peer: middle(peer, "perSecond"),
      peerName,
      goal: GOAL,
    }),
    compared({
      case: name,
      unit: "µs CPU",
      better: "less",
      ours: middle(own, "cpuUsEach"),
      peer: middle(peer, "cpuUsEach"),
      peerName,
      goal: null,
    }),
  ];
}

/** A round measures each once, and the next begins with another. */
async function byTurns(
  rigs: readonly SnatRig[],
  measure: (rig: SnatRig) => Promise<Throughput>,
): Promise<Figures> {
  const figures: Figures = new Map(rigs.map((rig) => [rig, []]));
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const at of rigs.keys()) {
      const rig = rigs[(at + round) % rigs.length]!;
      figures.get(rig)!.push(await measure(rig));
    }
  }
  return figures;
}

/** First packets that found a port, in per cent, while the ports towards one destination are filled. */
async function fillRows(own: SnatRig, wide: SnatRig): Promise<Row[]> {
  const found = new Map([own, wide].map((rig) => [rig, FILLINGS.map(() => ({ count: 0, failed: 0 }))]));
  for (let round = 0; round < FILL_ROUNDS; round += 1) {
    for (const rig of [own, wide]) await fill(rig, found.get(rig)!);
  }
  const shareOf = (rig: SnatRig, at: number): number => {
    const { count, failed } = found.get(rig)![at]!;
    return (100 * count) / (count + failed);
  };
  return FILLINGS.map(([from, to], at) =>
    compared({
      case: `first packets that find a port, ${from} % to ${to} % in use`,
      unit: "%",
      better: "more",
      ours: shareOf(own, at),
      peer: shareOf(wide, at),
      peerName: wide.translation.name,
      goal: 1,
    }),
  );
}

/** Fills the ports of one destination step by step, and adds to what is known of each filling. */
async function fill(rig: SnatRig, sums: readonly { count: number; failed: number }[]): Promise<void> {
  await rig.begin(UNITS);
  const holder = rig.holder();
  let asked = 0;
  for (const [at, [, to]] of FILLINGS.entries()) {
    for (; asked < (to * PORT_COUNT) / 100; asked += STEP) {
      const { count, failed } = await holder.open(STEP);
      sums[at]!.count += count;
      sums[at]!.failed += failed;
      await rig.translation.settle();
    }
  }
  await holder.close();
}

function unitsOf(count: number): readonly number[] {
  return Array.from({ length: count }, (_, at) => FIRST_UNIT + at);
}

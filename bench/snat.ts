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
import { buildPrograms, SnatRig } from "./snat/rig.ts";
import { masquerade, type Translation, wideRange } from "./snat/translations.ts";

const FIRST_UNIT = 160;
const ONE_UNIT = unitsOf(1);
const UNITS = unitsOf(64);
const PORT_COUNT = UNITS.length * UNIT_PORT_COUNT;
const ROUNDS = 5;
const SECONDS = 2;
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

/** One figure of each way in each round, by the way's name. */
type Figures = Map<string, number[]>;

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
    const held = Math.round(share * PORT_COUNT);
    const figures = await byTurns([own, peer], ROUNDS, async (rig) => {
      await rig.begin(units);
      const holder = rig.holder();
      for (let count = 0; count < held; count += STEP) {
        await holder.open(Math.min(STEP, held - count));
        await rig.translation.settle();
      }
      const perSecond = await rig.callsPerSecond(SECONDS);
      await holder.close();
      return perSecond;
    });
    rows.push(rowOf(name, "1/s", figures, own, peer, GOAL));
  }
  return rows;
}

async function pourRows(own: SnatRig, peer: SnatRig): Promise<Row[]> {
  const rows: Row[] = [];
  for (const count of STREAM_COUNTS) {
    const figures = await byTurns([own, peer], ROUNDS, async (rig) => {
      await rig.begin(UNITS);
      return ((await rig.pour("bytes", count, SECONDS)).perSecond * 8) / 1e9;
    });
    rows.push(
      rowOf(`TCP, ${count === 1 ? "1 stream" : `${count} streams`}`, "Gbit/s", figures, own, peer, GOAL),
    );
  }
  const figures = await byTurns([own, peer], ROUNDS, (rig) => datagramsOf(rig));
  rows.push(rowOf("datagrams of 64 octets", "1/s", figures, own, peer, GOAL));
  return rows;
}

/** What the guard takes of that: its table is taken out of the kernel, and comes back with the next begin. */
async function guardRows(own: SnatRig): Promise<Row[]> {
  const guarded: number[] = [];
  const bare: number[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    guarded.push(await datagramsOf(own));
    bare.push(await datagramsOf(own, () => own.withoutGuard()));
  }
  return [
    compared({
      case: "datagrams of 64 octets",
      unit: "1/s",
      better: "more",
      ours: median(guarded),
      peer: median(bare),
      peerName: "ours, no guard",
      goal: null,
    }),
  ];
}

/** Datagrams that arrive in a second; each must have. */
async function datagramsOf(rig: SnatRig, change = async (): Promise<void> => {}): Promise<number> {
  await rig.begin(UNITS);
  await change();
  const before = await rig.arrived();
  const { perSecond } = await rig.pour("datagrams", DATAGRAM_SOCKETS, SECONDS);
  if ((await rig.arrived()) - before < perSecond * SECONDS * GOAL) {
    throw new Error(`datagrams were lost on the way (${rig.translation.name})`);
  }
  return perSecond;
}

function rowOf(
  name: string,
  unit: string,
  figures: Figures,
  own: SnatRig,
  peer: SnatRig,
  goal: number | null,
): Row {
  return compared({
    case: name,
    unit,
    better: "more",
    ours: median(figures.get(own.translation.name)!),
    peer: median(figures.get(peer.translation.name)!),
    peerName: peer.translation.name,
    goal,
  });
}

/** A round measures each once, and the next begins with another. */
async function byTurns(
  rigs: readonly SnatRig[],
  roundCount: number,
  measure: (rig: SnatRig) => Promise<number>,
): Promise<Figures> {
  const figures: Figures = new Map(rigs.map(({ translation }) => [translation.name, []]));
  for (let round = 0; round < roundCount; round += 1) {
    for (const at of rigs.keys()) {
      const rig = rigs[(at + round) % rigs.length]!;
      figures.get(rig.translation.name)!.push(await measure(rig));
    }
  }
  return figures;
}

/** First packets that found a port, in per cent, while the ports towards one destination are filled. */
async function fillRows(own: SnatRig, wide: SnatRig): Promise<Row[]> {
  const found = new Map([own, wide].map((rig) => [rig, FILLINGS.map(() => ({ count: 0, failed: 0 }))]));
  await byTurns([own, wide], FILL_ROUNDS, async (rig) => {
    await rig.begin(UNITS);
    const holder = rig.holder();
    let asked = 0;
    for (const [at, [, to]] of FILLINGS.entries()) {
      const sum = found.get(rig)![at]!;
      for (; asked < (to * PORT_COUNT) / 100; asked += STEP) {
        const { count, failed } = await holder.open(STEP);
        sum.count += count;
        sum.failed += failed;
        await rig.translation.settle();
      }
    }
    await holder.close();
    return 0;
  });
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

function unitsOf(count: number): readonly number[] {
  return Array.from({ length: count }, (_, at) => FIRST_UNIT + at);
}

/**
 * What does the guard cost a packet, and where should it judge? The same rules at postrouting and on the
 * device, each beside a host without a guard, in turn: for packets that the host makes itself and for
 * packets that it translates.
 */
import { GuardRig, type Kind, type Place } from "./guard-rig.ts";
import { compared, median, type Row } from "./report.ts";

const ROUND_COUNT = 15;
const WINDOW_MS = 600;
const GOAL = 0.75;
const KINDS: readonly Kind[] = ["made here", "translated"];
const PLACES: readonly Place[] = ["postrouting", "egress", "unguarded", "nowhere"];

/** Needs root and trafgen. */
export async function measureGuard(): Promise<Row[]> {
  const rig = await GuardRig.create();
  try {
    const rows: Row[] = [];
    for (const kind of KINDS) rows.push(...(await measureKind(rig, kind)));
    return rows;
  } finally {
    await rig.destroy();
  }
}

/** By processor time, not by the clock, since others may use the processor too. */
async function measureKind(rig: GuardRig, kind: Kind): Promise<Row[]> {
  await rig.prepare(kind);
  const costs: Record<Place, number[]> = { postrouting: [], egress: [], unguarded: [], nowhere: [] };
  for (let round = 0; round < ROUND_COUNT; round += 1) {
    for (const place of PLACES) costs[place].push(await rig.run(place, kind, WINDOW_MS));
  }
  const peer = median(costs.unguarded);
  const generator = median(costs.nowhere);
  const peerName = "no guard";
  return (["postrouting", "egress"] as const).flatMap((place) => {
    const name = `${kind}, judged at ${place}`;
    const ours = median(costs[place]);
    return [
      compared({
        case: name,
        unit: "packets/s of one CPU",
        better: "more",
        ours: 1e6 / ours,
        peer: 1e6 / peer,
        peerName,
        goal: place === "postrouting" ? GOAL : null,
      }),
      compared({
        case: `${name}, host alone`,
        unit: "µs of CPU a packet",
        better: "less",
        ours: ours - generator,
        peer: peer - generator,
        peerName,
        goal: null,
      }),
    ];
  });
}

/** 100,000 packets by chance through each back end: what comes out, and what is counted, is the same. [RT15] */
import { randomInt } from "node:crypto";
import { readFile } from "node:fs/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Chance } from "../fuzz/chance.ts";
import type { DropCounts } from "../../src/router/steering/steering-kernel.ts";
import { FAMILIES } from "./packet-kinds.ts";
import { isRandomFrame, randomFrame } from "./random-packets.ts";
import { BACK_ENDS, type BackEnd, blocks, CONFIG, lastOnes, RouterRig, tableOf } from "./router-rig.ts";

const PACKET_COUNT = 100_000;
const BATCH = 5_000;
const SEED = Number(process.env["PACKET_SEED"] ?? randomInt(2 ** 31));
const HOSTS = [1, 2, 3] as const;
/** The head of a capture file, and that of each frame in it. */
const FILE_HEAD_BYTES = 24;
const FRAME_HEAD_BYTES = 16;
/** Without a limit of errors: when it cuts in is a matter of time. */
const UNLIMITED = { ...CONFIG, icmpErrorsPerSecond: 999_999 };

let rig: RouterRig;

beforeAll(async () => {
  rig = await RouterRig.create("xdp");
});

afterAll(() => rig?.lab.destroy());

/** What came out at each host, in hexadecimal and in an order of its own, and what was counted. */
interface Outcome {
  readonly arrived: readonly (readonly string[])[];
  readonly counts: DropCounts;
}

async function outcomeOf(backEnd: BackEnd): Promise<Outcome> {
  const kernel = rig.newKernel(UNLIMITED, backEnd);
  await kernel.repair(tableOf(blocks()));
  const capture = (number: number, filter: string) => rig.lab.capture(`h${number}`, "lan0", filter);
  const fromOutside = `ether src ${await rig.lab.macOf("r1", "lan0")} and not arp and not udp src port 9`;
  const captures = await Promise.all(HOSTS.map((number) => capture(number, fromOutside)));
  const ends = await Promise.all(HOSTS.map((number) => capture(number, "udp src port 9")));
  const chance = new Chance(SEED);
  for (let sent = 0; sent < PACKET_COUNT; sent += BATCH) {
    await rig.arriveFramed((from, to) => Array.from({ length: BATCH }, () => randomFrame(chance, from, to)));
  }
  for (const family of FAMILIES) await rig.arrive(lastOnes(family));
  await Promise.all(ends.map((end) => end.reaches(FAMILIES.length)));
  const counts = await kernel.counts();
  await Promise.all([...captures, ...ends].map((each) => each.stop()));
  await kernel.remove();
  await kernel.close();
  const files = await Promise.all(captures.map(({ file }) => readFile(file)));
  return { arrived: files.map((file) => framesIn(file).toSorted()), counts };
}

function framesIn(file: Buffer): string[] {
  const frames: string[] = [];
  for (let at = FILE_HEAD_BYTES; at < file.length;) {
    const end = at + FRAME_HEAD_BYTES + file.readUInt32LE(at + 8);
    const frame = file.subarray(at + FRAME_HEAD_BYTES, end);
    if (isRandomFrame(frame)) frames.push(frame.toString("hex"));
    at = end;
  }
  return frames;
}

/** What is in one and not in the other, as often as it is. */
function beyond(one: readonly string[], other: readonly string[]): string[] {
  const left = new Map<string, number>();
  for (const each of other) left.set(each, (left.get(each) ?? 0) + 1);
  return one.filter((each) => {
    const count = left.get(each) ?? 0;
    left.set(each, count - 1);
    return count <= 0;
  });
}

test(`[RT15] both back ends do the same with packets by chance (PACKET_SEED=${SEED})`, async () => {
  const [byNft, byXdp] = [await outcomeOf(BACK_ENDS[0]), await outcomeOf(BACK_ENDS[1])];
  for (const at of HOSTS.keys()) {
    const [nft, xdp] = [byNft.arrived[at]!, byXdp.arrived[at]!];
    expect({ onlyByNft: beyond(nft, xdp).slice(0, 5), onlyByXdp: beyond(xdp, nft).slice(0, 5) }).toEqual({
      onlyByNft: [],
      onlyByXdp: [],
    });
    expect(nft.length).toBeGreaterThan(PACKET_COUNT / 100);
  }
  expect(byXdp.counts).toEqual(byNft.counts);
});

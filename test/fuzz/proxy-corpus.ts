/** Says drawn cases to a proxy, one after the other, and judges what comes of each. */
import { connect } from "node:net";
import { Chance } from "./chance.ts";
import { drawHttpCase, HTTP_FAMILIES, type ProxyCase } from "./proxy-cases.ts";
import { dueAnswers, judgeHttp } from "./proxy-judge.ts";
import { judgeSocks } from "./socks-judge.ts";
import { drawSocksCase, readSocks } from "./socks-cases.ts";
import type { RecordingOrigin } from "./recording-origin.ts";
import { readAnswers } from "./strict-answers.ts";

/** A proxy under test. */
export interface TestedProxy {
  readonly host: string;
  readonly port: number;
  /** How often it has refused something, for each code. */
  readonly counts: () => Promise<ReadonlyMap<string, number>>;
}

/** What a run came to. */
export interface CorpusTally {
  caseCount: number;
  forwardedCount: number;
  /** How often each code was told. */
  readonly refusals: Map<string, number>;
  readonly findings: string[];
}

/** What a client hears in the end. */
export interface Ended {
  readonly answered: Buffer;
  readonly isHanging: boolean;
  readonly wasReset: boolean;
}

const MOST_FINDINGS = 200;
const HANGING_MS = 8_000;
const PIECE_PAUSE_MS = 2;

/** Says all of it, then, when it has heard enough, its own end, and listens until the other's. */
export function sayAll(
  { host, port }: TestedProxy,
  pieces: readonly Buffer[],
  hasEnough: (heard: string) => boolean,
): Promise<Ended> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, noDelay: true, allowHalfOpen: true });
    const chunks: Buffer[] = [];
    let wasReset = false;
    const settle = (isHanging: boolean): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve({ answered: Buffer.concat(chunks), isHanging, wasReset });
    };
    const timer = setTimeout(() => settle(true), HANGING_MS);
    let hasSaid = false;
    const endInTime = (): void => {
      if (hasSaid && socket.writable && hasEnough(Buffer.concat(chunks).toString("latin1"))) socket.end();
    };
    socket.on("data", (chunk: Buffer) => {
      chunks.push(chunk);
      endInTime();
    });
    // Who has been told its end goes.
    socket.once("end", () => socket.end());
    socket.on("error", () => {
      wasReset = true;
    });
    socket.once("close", () => settle(false));
    const say = (at: number): void => {
      if (!socket.writable) return;
      const piece = pieces[at];
      if (piece === undefined) {
        hasSaid = true;
        endInTime();
        return;
      }
      socket.write(piece, () => {
        if (at + 1 < pieces.length) setTimeout(() => say(at + 1), PIECE_PAUSE_MS);
        else say(at + 1);
      });
    };
    socket.once("connect", () => say(0));
  });
}

/** Says cases of every family in turn. */
export async function runHttpCorpus(
  proxy: TestedProxy,
  origin: RecordingOrigin,
  seed: number,
  mostCount: number,
  endMs = Infinity,
): Promise<CorpusTally> {
  const tally: CorpusTally = { caseCount: 0, forwardedCount: 0, refusals: new Map(), findings: [] };
  const place = `${origin.ip}:${origin.port}`;
  while (tally.caseCount < mostCount && performance.now() < endMs && tally.findings.length < MOST_FINDINGS) {
    const number = tally.caseCount;
    tally.caseCount += 1;
    const family = HTTP_FAMILIES[number % HTTP_FAMILIES.length]!;
    const drawn = drawHttpCase(family, number, place, new Chance(seed + number));
    await runHttpCase(proxy, origin, drawn, tally);
  }
  return tally;
}

async function runHttpCase(
  proxy: TestedProxy,
  origin: RecordingOrigin,
  drawn: ProxyCase,
  tally: CorpusTally,
): Promise<void> {
  origin.forget();
  const before = await proxy.counts();
  const said = Buffer.concat(drawn.pieces);
  const methods = dueAnswers(said);
  const hasEnough = (heard: string): boolean =>
    !drawn.isPatient || readAnswers(heard, methods).answers.length >= methods.length;
  const { answered, isHanging } = await sayAll(proxy, drawn.pieces, hasEnough);
  await settled(origin);
  const heard = { said, answered: answered.toString("latin1"), connections: origin.connections() };
  const { findings, refusals, forwardedCount, isUnanswered } = judgeHttp(heard);
  if (isHanging) findings.push("the connection hangs");
  const after = await proxy.counts();
  // Nobody listens to a word behind what was the last answer; it is counted all the same.
  if (isUnanswered && (drawn.isPatient || sumOf(after) === sumOf(before)))
    findings.push("no word on what is broken");
  for (const code of new Set(refusals)) {
    const told = refusals.filter((each) => each === code).length;
    tally.refusals.set(code, (tally.refusals.get(code) ?? 0) + told);
    if ((after.get(code) ?? 0) - (before.get(code) ?? 0) < told) findings.push(`${code} is not counted`);
  }
  tally.forwardedCount += forwardedCount;
  for (const finding of findings) {
    tally.findings.push(`${drawn.told}: ${finding}\n  said ${shown(said)}\n  heard ${shown(answered)}`);
  }
}

function sumOf(counts: ReadonlyMap<string, number>): number {
  return [...counts.values()].reduce((sum, count) => sum + count, 0);
}

/** Says cases in SOCKS, or nearly so. */
export async function runSocksCorpus(
  proxy: TestedProxy,
  origin: RecordingOrigin,
  token: string,
  seed: number,
  mostCount: number,
  endMs = Infinity,
): Promise<CorpusTally> {
  const tally: CorpusTally = { caseCount: 0, forwardedCount: 0, refusals: new Map(), findings: [] };
  const world = { ip: origin.ip, port: origin.port, token };
  while (tally.caseCount < mostCount && performance.now() < endMs && tally.findings.length < MOST_FINDINGS) {
    const drawn = drawSocksCase(tally.caseCount, world, new Chance(seed + tally.caseCount));
    tally.caseCount += 1;
    origin.forget();
    const before = await proxy.counts();
    const { answered, isHanging } = await sayAll(proxy, drawn.pieces, () => true);
    await settled(origin);
    const said = Buffer.concat(drawn.pieces);
    const reading = readSocks(said, world);
    const isCounted = sumOf(await proxy.counts()) > sumOf(before);
    const { findings, hasTunnel } = judgeSocks(reading, answered, origin.connections(), isCounted);
    if (isHanging) findings.push("the connection hangs");
    if (hasTunnel) tally.forwardedCount += 1;
    for (const finding of findings) {
      tally.findings.push(`${drawn.told}: ${finding}\n  said ${shown(said)}\n  heard ${shown(answered)}`);
    }
  }
  return tally;
}

/** Waits until what a client left behind has come to its end at the origin. */
async function settled(origin: RecordingOrigin): Promise<void> {
  const isUnsettled = (): boolean =>
    origin.connections().some(({ bytes, readAt, isClosed }) => readAt < bytes.length && !isClosed);
  for (let turn = 0; turn < 200; turn += 1) {
    await new Promise((resolve) => {
      setTimeout(resolve, turn === 0 ? 0 : 5);
    });
    if (!isUnsettled()) return;
  }
}

function shown(bytes: Buffer): string {
  return JSON.stringify(bytes.toString("latin1", 0, 420));
}

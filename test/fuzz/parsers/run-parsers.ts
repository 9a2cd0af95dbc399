/**
 * `npm run fuzz -- parsers`: every parser that a stranger reaches, under broken inputs. A finding is an
 * input at which one throws what it should not, breaks a claim, takes seconds, or after which memory has grown.
 *
 * An input follows from the seed, its parser and its number alone, so a finding can be told again. Inputs of
 * which something new came are kept in `test/fuzz/corpus` on demand, and are the beginnings of later runs.
 */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { Chance } from "../chance.ts";
import { byteParsers } from "./byte-parsers.ts";
import { liveParsers } from "./live-parsers.ts";
import { mutated } from "./mutation.ts";
import { objectParsers } from "./object-parsers.ts";
import type { ParserUnderFire } from "./parser.ts";
import { textParsers } from "./text-parsers.ts";

/** What a run came to. */
export interface ParserRun {
  readonly inputCount: number;
  /** By parser. */
  readonly inputCounts: Readonly<Record<string, number>>;
  readonly findings: readonly string[];
  /** Inputs of which something came that none before had, by parser. */
  readonly novel: Readonly<Record<string, readonly Buffer[]>>;
  readonly heapGrowthBytes: number;
}

const CORPUS = join(import.meta.dirname, "../corpus");
const BATCH = 1_000;
/** An input that takes the processor for so long would halt every other request of its process. */
const SLOW_MICROS = 2_000_000;
const MOST_GROWTH_BYTES = 32 * 1024 * 1024;
const MOST_FINDINGS = 50;
/** Of each parser; more would not make a run better. */
const MOST_KEPT = 60;

/** All parsers, with what was kept for them. */
export async function allParsers(): Promise<ParserUnderFire[]> {
  const parsers = [
    ...(await textParsers()),
    ...byteParsers(),
    ...(await objectParsers()),
    ...(await liveParsers()),
  ];
  const withCorpus: ParserUnderFire[] = [];
  for (const parser of parsers) {
    const seeds = [...parser.seeds, ...(await keptInputs(parser.name))];
    withCorpus.push({ ...parser, seeds });
  }
  return withCorpus;
}

/** Fires so many inputs, shared out among the parsers by their weights. */
export async function runParsers(
  parsers: readonly ParserUnderFire[],
  seed: number,
  inputCount: number,
  progress: (text: string) => void = () => {},
): Promise<ParserRun> {
  const findings: string[] = [];
  const inputCounts: Record<string, number> = {};
  const novel: Record<string, readonly Buffer[]> = {};
  const totalWeight = parsers.reduce((sum, { weight }) => sum + weight, 0);
  let heapBefore = 0;
  // A first part warms up: code and tables that are made once are no growth.
  for (const [share, isMeasured] of [
    [0.2, false],
    [0.8, true],
  ] as const) {
    if (isMeasured) heapBefore = heapBytes();
    for (const parser of parsers) {
      const count = Math.max(1, Math.round((inputCount * share * parser.weight) / totalWeight));
      const first = inputCounts[parser.name] ?? 0;
      const found = await fire(parser, seed, first, count, findings);
      inputCounts[parser.name] = first + count;
      novel[parser.name] = [...(novel[parser.name] ?? []), ...found];
      if (isMeasured) progress(`${parser.name}: ${inputCounts[parser.name]} inputs, ${found.length} new`);
    }
  }
  const heapGrowthBytes = heapBytes() - heapBefore;
  if (heapGrowthBytes > MOST_GROWTH_BYTES) findings.push(`memory has grown by ${heapGrowthBytes} bytes`);
  const counts = Object.values(inputCounts);
  return {
    inputCount: counts.reduce((sum, count) => sum + count, 0),
    inputCounts,
    findings,
    novel,
    heapGrowthBytes,
  };
}

/** The inputs of one parser from a number on; those at which something new came of it. */
async function fire(
  parser: ParserUnderFire,
  seed: number,
  first: number,
  count: number,
  findings: string[],
): Promise<Buffer[]> {
  const words = parser.words.map((word) => Buffer.from(word, "latin1"));
  const seen = new Set<string>();
  const novel: Buffer[] = [];
  const inputOf = (number: number): Buffer =>
    mutated(parser.seeds, words, new Chance((seed ^ hashOf(parser.name)) + number));
  const read = async (number: number): Promise<void> => {
    const input = inputOf(number);
    try {
      const pending = parser.read(input);
      const said = pending instanceof Promise ? await pending : pending;
      if (seen.size < MOST_KEPT && !seen.has(said)) {
        seen.add(said);
        novel.push(input);
      }
    } catch (fault) {
      if (findings.length < MOST_FINDINGS) findings.push(toldFinding(parser.name, number, input, fault));
    }
  };
  // What comes of the seeds is not new.
  for (const each of parser.seeds) {
    try {
      seen.add(await parser.read(each));
    } catch (fault) {
      findings.push(toldFinding(parser.name, -1, each, fault));
    }
  }
  for (let at = first; at < first + count; at += BATCH) {
    const end = Math.min(at + BATCH, first + count);
    const before = process.cpuUsage();
    await inLanes(at, end, parser.laneCount ?? 1, read);
    const { user, system } = process.cpuUsage(before);
    if (user + system > SLOW_MICROS) await findSlow(parser, at, end, inputOf, findings);
    // So that whoever asked can stop the run, and sockets are served.
    await new Promise((resolve) => {
      setImmediate(resolve);
    });
  }
  return novel;
}

async function inLanes(
  first: number,
  end: number,
  laneCount: number,
  read: (number: number) => Promise<void>,
): Promise<void> {
  let next = first;
  const lane = async (): Promise<void> => {
    while (next < end) {
      const number = next;
      next += 1;
      await read(number);
    }
  };
  await Promise.all(Array.from({ length: laneCount }, lane));
}

/** Which of a slow batch was it, if it was one. */
async function findSlow(
  parser: ParserUnderFire,
  first: number,
  end: number,
  inputOf: (number: number) => Buffer,
  findings: string[],
): Promise<void> {
  for (let number = first; number < end; number += 1) {
    const input = inputOf(number);
    const before = process.cpuUsage();
    try {
      await parser.read(input);
    } catch {
      // Found before.
    }
    const { user, system } = process.cpuUsage(before);
    const slow = new Error(`broken: it takes ${Math.round((user + system) / 1000)} ms of the processor`);
    if (user + system > SLOW_MICROS) findings.push(toldFinding(parser.name, number, input, slow));
  }
}

function toldFinding(name: string, number: number, input: Buffer, fault: unknown): string {
  const text =
    fault instanceof Error
      ? (fault.stack ?? fault.message).split("\n").slice(0, 4).join(" | ")
      : String(fault);
  return `${name} #${number}: ${JSON.stringify(input.toString("latin1").slice(0, 400))}: ${text}`;
}

function hashOf(text: string): number {
  let hash = 0;
  for (const char of text) hash = (Math.imul(hash, 31) + char.codePointAt(0)!) | 0;
  return hash;
}

let collect: (() => void) | null = null;

/** What is alive. */
function heapBytes(): number {
  setFlagsFromString("--expose-gc");
  collect ??= runInNewContext("gc") as () => void;
  collect();
  collect();
  return process.memoryUsage().heapUsed;
}

async function keptInputs(name: string): Promise<Buffer[]> {
  try {
    const texts = JSON.parse(await readFile(join(CORPUS, `${name}.json`), "utf8")) as string[];
    return texts.map((text) => Buffer.from(text, "latin1"));
  } catch (fault) {
    if ((fault as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw fault;
  }
}

/** Adds the new inputs of a run to the corpus. */
export async function keepNovel({ novel }: ParserRun): Promise<void> {
  for (const [name, inputs] of Object.entries(novel)) {
    const kept = await keptInputs(name);
    const short = inputs.filter(({ length }) => length <= 256).slice(0, Math.max(0, MOST_KEPT - kept.length));
    if (short.length === 0) continue;
    const texts = [...kept, ...short].map((input) => input.toString("latin1"));
    await writeFile(join(CORPUS, `${name}.json`), `${JSON.stringify([...new Set(texts)], null, 1)}\n`);
  }
}

/** Ends what parsers have open. */
export async function closeParsers(parsers: readonly ParserUnderFire[]): Promise<void> {
  for (const { close } of parsers) await close?.();
}

/** Keeps a copy of an edge as new as it can be, and says how old it is, until it is told to end. [OC9] */
import { chmodSync, existsSync, mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { CommandFault } from "../../process/command-fault.ts";
import { DirectoryLock } from "../../process/directory-lock.ts";
import { findLaunchers } from "../../process/launched-by.ts";
import { edgeMeant, operatorFor, type OperatorWords } from "../credentials/operator.ts";
import { listenForEnding } from "../supervision/end-signals.ts";
import { copiedEdge } from "./copied-edge.ts";
import { EdgeArchive, OWNER_ONLY } from "./edge-archive.ts";
import { Standby } from "./standby.ts";

/** What the verb is told. */
export interface StandbyOptions {
  /** Of `edge backup`, once; then of this. */
  readonly file: string;
  readonly everyMs: number;
  readonly operator: OperatorWords;
}

/** Behind by so many rounds it says so. */
const LATE_ROUNDS = 3;

/** Runs until it is told to end. */
export async function runStandby({ file, everyMs, operator }: StandbyOptions): Promise<void> {
  if (!existsSync(file)) {
    throw new CommandFault(
      "file-invalid",
      `There is no ${file}. Bring a backup there first (ipshard edge backup --to, then scp): the keys of the edge ` +
        "are in it, and do not travel otherwise.",
    );
  }
  // It was brought here by a program that knows nothing of keys.
  chmodSync(file, OWNER_ONLY);
  const archive = await EdgeArchive.open(file);
  const directory = `${file}.standby`;
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const lock = await DirectoryLock.acquire(directory);
  if (lock === null) throw new CommandFault("state-in-use", `Another standby keeps ${file}.`);
  const { asked } = listenForEnding(findLaunchers());
  try {
    const { edge } = await edgeMeant(operator);
    const source = copiedEdge(() => operatorFor(operator), asked);
    const incoming = join(directory, "incoming");
    const standby = new Standby(archive, edge.href, source, incoming);
    console.log(`standby of ${edge.href}: a copy in ${file}, every ${everyMs / 1_000} s`);
    await follow(standby, archive, everyMs, asked);
  } finally {
    archive.close();
    await lock.release();
    rmSync(directory, { recursive: true, force: true });
  }
}

async function follow(
  standby: Standby,
  archive: EdgeArchive,
  everyMs: number,
  asked: AbortSignal,
): Promise<void> {
  const words = new AgeWords(everyMs, (line) => console.error(line));
  while (!asked.aborted) {
    const beganMs = performance.now();
    try {
      const { takenAtMs, databaseCount, bytes } = await standby.round();
      words.succeeded(Date.now() - takenAtMs, databaseCount, bytes);
    } catch (fault) {
      if (asked.aborted) return;
      words.failed(fault, Date.now() - archive.facts().takenAtMs);
    }
    const restMs = Math.max(0, everyMs - (performance.now() - beganMs));
    await delay(restMs, undefined, { signal: asked }).catch(() => {});
  }
}

/** A line where something changes, not one for each round. */
export class AgeWords {
  readonly #everyMs: number;
  readonly #say: (line: string) => void;
  #isFirst = true;
  #isLate = false;
  #lastFault = "";

  constructor(everyMs: number, say: (line: string) => void) {
    this.#everyMs = everyMs;
    this.#say = say;
  }

  succeeded(tookMs: number, databaseCount: number, bytes: number): void {
    if (this.#isFirst || this.#isLate || this.#lastFault !== "") {
      const size = `${databaseCount} databases, ${Math.ceil(bytes / 1024)} KiB`;
      this.#say(`The copy is of now: ${size} in ${seconds(tookMs)} s.`);
    }
    this.#isFirst = false;
    this.#isLate = false;
    this.#lastFault = "";
  }

  failed(fault: unknown, ageMs: number): void {
    const why = fault instanceof CommandFault ? `${fault.message} [${fault.code}]` : reasonOf(fault);
    const isLate = ageMs > LATE_ROUNDS * this.#everyMs;
    if (why === this.#lastFault && isLate === this.#isLate) return;
    this.#lastFault = why;
    this.#isLate = isLate;
    this.#say(`The copy is ${seconds(ageMs)} s old, and cannot be made anew: ${why}`);
  }
}

function reasonOf(fault: unknown): string {
  if (!(fault instanceof Error)) return String(fault);
  const { cause } = fault;
  return cause instanceof Error ? `${fault.message}: ${cause.message}` : fault.message;
}

function seconds(timeMs: number): string {
  return (timeMs / 1_000).toFixed(timeMs < 10_000 ? 1 : 0);
}

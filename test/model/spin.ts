/**
 * Spin as a function: the model with some switches on, searched to its end, and what came of it.
 * Spin writes a program that searches, a C compiler makes it, and it runs in a directory that is
 * removed afterwards.
 */
import { execFile, spawnSync } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import type { Availability } from "../lab/availability.ts";

const run = promisify(execFile);

const MODEL = join(import.meta.dirname, "lease.pml");
/** One state is kept whole, not as a hash, so what is not found is not there. */
const COMPILE = ["-w", "-DSAFETY", "-DNOCLAIM", "-DNOFAIR", "-o", "pan", "pan.c"];
/** The stack is deeper than any run goes, and the hash table large enough for the largest search. */
const SEARCH = ["-m1000000", "-w24"];
/** States lie all over the memory: with large pages each is found a fifth sooner. */
const LARGE_PAGES = { GLIBC_TUNABLES: "glibc.malloc.hugetlb=1" };
const MAX_OUTPUT_LENGTH = 64 * 1024 * 1024;
/** What the search says when it has not seen everything. */
const INCOMPLETE = /not completed|too small|MEMLIM|truncated|out of memory|interrupted/i;

/** What a search found. */
export interface Verdict {
  readonly errorCount: number;
  /** The assertion that failed, as the search prints it; null if none did. */
  readonly violation: string | null;
  readonly stateCount: number;
  readonly depth: number;
  readonly memoryMb: number;
  readonly seconds: number;
  /** Whether every state was kept whole, and all that can be reached was searched. */
  readonly isExhaustive: boolean;
  /** Lines of the model that no run came to. */
  readonly unreached: readonly string[];
  /** The steps to the violation, in words; empty if there is none. */
  readonly trail: readonly string[];
}

/** Whether the model can be searched here, or why not. */
export function modelAvailability(): Availability {
  for (const [command, flag] of [
    ["spin", "-V"],
    ["gcc", "--version"],
  ] as const) {
    if (spawnSync(command, [flag], { stdio: "ignore" }).error !== undefined) {
      return { ok: false, reason: `the model needs the program ${command}, which is not here` };
    }
  }
  return { ok: true };
}

/** How to search. */
export interface SearchOptions {
  /** Memory that it may take; beyond it the search ends incomplete. */
  readonly maxMemoryMb?: number;
  /** In breadth, so that the first violation found is the one with the fewest steps. */
  readonly isShortest?: boolean;
  /** It will find something soon: the search takes less time than to compile it for speed. */
  readonly endsSoon?: boolean;
}

/** Searches the model with these switches on; throws if it cannot be built. */
export async function search(switches: readonly string[], how: SearchOptions = {}): Promise<Verdict> {
  const { maxMemoryMb = 1_900, isShortest = false, endsSoon = false } = how;
  const directory = await mkdtemp(join(tmpdir(), "ipshard-model-"));
  const options = { cwd: directory, maxBuffer: MAX_OUTPUT_LENGTH };
  const flags = [...switches, ...(isShortest ? ["SHORTEST"] : [])].map((name) => `-D${name}`);
  const compile = [
    endsSoon ? "-O0" : "-O2",
    `-DMEMLIM=${maxMemoryMb}`,
    ...(isShortest ? ["-DBFS"] : []),
    ...COMPILE,
  ];
  try {
    await run("spin", ["-a", ...flags, MODEL], options);
    await run("gcc", compile, options);
    const startMs = performance.now();
    const env = { ...process.env, ...LARGE_PAGES };
    const { stdout } = await run("./pan", isShortest ? SEARCH.slice(1) : SEARCH, { ...options, env });
    const seconds = (performance.now() - startMs) / 1000;
    const verdict = { ...read(stdout), seconds, trail: [] };
    if (verdict.errorCount === 0) return verdict;
    const told = await run("spin", ["-k", "lease.pml.trail", ...flags, MODEL], options);
    return { ...verdict, trail: stepsOf(told.stdout) };
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

function read(output: string): Omit<Verdict, "seconds" | "trail"> {
  const isWhole = output.includes("Full statespace search for:");
  return {
    errorCount: numberAfter(output, /errors: (\d+)/),
    violation: /^pan:\d+: (.*)$/m.exec(output)?.[1] ?? null,
    stateCount: numberAfter(output, /([\d.e+]+) states, stored/),
    depth: numberAfter(output, /depth reached (\d+)/),
    memoryMb: numberAfter(output, /([\d.]+)\s+total actual memory usage/),
    isExhaustive: isWhole && /assertion violations\s+\+/.test(output) && !INCOMPLETE.test(output),
    unreached: [...output.matchAll(/^\t(\S+:\d+, state \d+, "(?!-end-).*")$/gm)].map((match) => match[1]!),
  };
}

function numberAfter(output: string, pattern: RegExp): number {
  const found = pattern.exec(output)?.[1];
  if (found === undefined) throw new Error(`the search did not say ${pattern}:\n${output}`);
  return Number(found);
}

/** Steps stand in the order in which they happened, before the values that things had at the end. */
function stepsOf(told: string): string[] {
  const lines = told.split("\n").map((line) => line.trim());
  const end = lines.findIndex((line) => line.startsWith("spin:"));
  return lines.slice(0, end === -1 ? undefined : end).filter((line) => line !== "");
}

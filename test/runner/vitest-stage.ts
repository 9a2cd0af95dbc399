/**
 * One part of all tests, run by a vitest of its own. Where it can, it has the loopback and the
 * way out of a network of its own, so that several can run at once: their hosts share addresses.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join, relative } from "node:path";
import { stripVTControlCharacters } from "node:util";

/** What is run: a project of vitest, or a share of its files. */
export interface Stage {
  readonly project: string;
  readonly shard?: `${number}/${number}`;
  /** It makes its networks itself. */
  readonly isNetworker?: boolean;
  /** It computes and waits for nobody: what the others leave of the processors is enough for it. */
  readonly isHumble?: boolean;
}

/** What came of something. */
export interface Counts {
  readonly passed: number;
  readonly failed: number;
  /** What failed and how, a line each. */
  readonly failures: readonly string[];
}

/** How to run stages. */
export interface StageOptions {
  /** Directory for reports. */
  readonly reports: string;
  /** Only test files whose path has one of these in it. */
  readonly patterns: readonly string[];
  /** Whether each gets a network of its own, and its output is told at its end. */
  readonly isApart: boolean;
}

/** Nobody answers in this network, but there is a way out of it, as on any machine. */
const OWN_NETWORK = `
mount -t sysfs sysfs /sys
ip link set lo up
ip link add eth0 type veth peer name nowhere
ip addr add 198.51.100.2/24 dev eth0
ip link set eth0 up
ip link set nowhere up
ip route add default via 198.51.100.1
exec "$@"
`;
const APART = ["unshare", "--net", "--mount", "sh", "-ec", OWN_NETWORK, "sh"];

/** Whether this machine lets a stage have a network of its own. */
export function canBeApart(): boolean {
  return spawnSync(APART[0]!, [...APART.slice(1), "true"], { stdio: "ignore" }).status === 0;
}

export function nameOf({ project, shard }: Stage): string {
  return shard === undefined ? `test:${project}` : `test:${project} ${shard}`;
}

/** Runs a stage to its end; an ill one fails, whatever its tests say. */
export async function runStage(stage: Stage, { reports, patterns, isApart }: StageOptions): Promise<Counts> {
  const { project, shard } = stage;
  const report = join(reports, `${nameOf(stage).replaceAll(/\W/g, "-")}.json`);
  const command = [
    ...(stage.isHumble === true && isApart ? ["nice", "-n", "19"] : []),
    ...(isApart && stage.isNetworker !== true ? APART : []),
    "vitest",
    "run",
    `--project=${project}`,
    ...(shard === undefined ? [] : [`--shard=${shard}`]),
    "--reporter=default",
    "--reporter=json",
    `--outputFile.json=${report}`,
    "--passWithNoTests",
    // Several at once would write the same file.
    ...(isApart ? ["--no-cache"] : []),
    ...patterns,
  ];
  const code = await runToEnd(command, isApart);
  const counts = await readReport(report);
  // A fault outside all tests shows in the exit code alone.
  return code !== 0 && counts.failed === 0
    ? { ...counts, failed: 1, failures: [`a fault outside all tests; vitest ended with ${code}`] }
    : counts;
}

/** What runs now; it ends with this process. */
const running = new Set<ChildProcess>();
for (const signal of ["SIGTERM", "SIGHUP"] as const) {
  process.once(signal, () => {
    for (const child of running) child.kill(signal);
    process.exit(1);
  });
}

/** Runs a command; its output is shown as it comes, or in one piece at its end. */
export function runToEnd(command: readonly string[], isToldAtEnd = false): Promise<number | null> {
  return new Promise((resolve, reject) => {
    const output: Buffer[] = [];
    const [program, ...args] = command;
    const stdio = isToldAtEnd ? "pipe" : "inherit";
    const child = spawn(program!, args, { stdio: ["ignore", stdio, stdio] });
    for (const stream of [child.stdout, child.stderr])
      stream?.on("data", (piece: Buffer) => output.push(piece));
    running.add(child);
    child.once("error", reject);
    child.once("close", (code) => {
      running.delete(child);
      for (const piece of output) process.stdout.write(piece);
      resolve(code);
    });
  });
}

interface Report {
  readonly numTotalTests: number;
  readonly numPassedTests: number;
  readonly testResults: readonly {
    readonly name: string;
    readonly status: string;
    readonly message: string;
    readonly assertionResults: readonly {
      readonly fullName: string;
      readonly status: string;
      readonly failureMessages?: readonly string[] | null;
    }[];
  }[];
}

async function readReport(file: string): Promise<Counts> {
  let report: Report;
  try {
    report = JSON.parse(await readFile(file, "utf8")) as Report;
  } catch (error) {
    return { passed: 0, failed: 1, failures: [`no report: ${String(error)}`] };
  }
  const { numTotalTests, numPassedTests, testResults } = report;
  const failures: string[] = [];
  let unloadedCount = 0;
  for (const { name, status, message, assertionResults } of testResults) {
    const path = relative(process.cwd(), name);
    if (status === "failed" && assertionResults.length === 0) {
      unloadedCount += 1;
      failures.push(`${path}: ${firstLine(message)}`);
    }
    for (const { fullName, status: end, failureMessages } of assertionResults) {
      if (end === "passed") continue;
      failures.push(`${path} > ${fullName.trim()}: ${firstLine(failureMessages?.[0] ?? end)}`);
    }
  }
  // A skipped test is one that did not pass.
  return { passed: numPassedTests, failed: numTotalTests - numPassedTests + unloadedCount, failures };
}

function firstLine(message: string): string {
  const line = stripVTControlCharacters(message).split("\n", 1)[0] ?? "";
  return line.slice(0, 300);
}

/** The load on a proxy, and the origin behind it: programs in C and `wrk`, each cheaper than what it measures. */
import { type ChildProcess, execFile, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { promisify } from "node:util";

/** Who asks, where a proxy wants to know. */
export interface Login {
  readonly user: string;
  readonly password: string;
}

/** What a load has seen. */
export interface LoadReport {
  readonly count: number;
  readonly errors: number;
  readonly seconds: number;
  readonly p50Us: number;
  readonly p99Us: number;
  readonly bytes: number;
  /** Tunnels that stand at the end. */
  readonly kept: number;
}

/** How tunnels are asked for. */
export type TunnelKind = "connect" | "socks5" | "direct";

const SOURCES = join(import.meta.dirname, "../load");
const ORIGIN_PORT = 2_080;
const ORIGIN = `127.0.1.1:${ORIGIN_PORT}`;

/** Compiles the programs into a directory. */
export function buildLoad(directory: string): void {
  for (const name of ["origin", "tunnels"]) {
    execFileSync("gcc", ["-O2", "-o", join(directory, name), join(SOURCES, `${name}.c`)]);
  }
}

/** Starts the origin and waits until it listens. */
export async function startOrigin(directory: string): Promise<ChildProcess> {
  const origin = spawn(join(directory, "origin"), [String(ORIGIN_PORT)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  await once(origin.stdout, "data");
  return origin;
}

/** Small GETs on connections that are kept. */
export async function loadGets(
  port: number,
  connectionCount: number,
  seconds: number,
  login: Login | null,
): Promise<LoadReport> {
  const args = ["-t1", `-c${connectionCount}`, `-d${seconds}`, "--timeout", "10s"];
  const words = [ORIGIN];
  if (login !== null) words.push(`Basic ${btoa(`${login.user}:${login.password}`)}`);
  const script = join(SOURCES, "get.lua");
  const { stdout } = await promisify(execFile)("wrk", [
    ...args,
    "-s",
    script,
    `http://127.0.0.1:${port}`,
    "--",
    ...words,
  ]);
  return reportOf(stdout);
}

/** Tunnels with one GET each (`requests`), or with bytes without an end (`bulk`). */
export async function loadTunnels(
  directory: string,
  mode: "requests" | "bulk",
  kind: TunnelKind,
  port: number,
  tunnelCount: number,
  seconds: number,
  login: Login | null,
): Promise<LoadReport> {
  const words = [mode, kind, port, ORIGIN_PORT, tunnelCount, seconds].map(String);
  if (login !== null) words.push(login.user, login.password);
  const { stdout } = await promisify(execFile)(join(directory, "tunnels"), words);
  return reportOf(stdout);
}

/** Opens so many tunnels and keeps them until `end` is called. */
export async function keepTunnels(
  directory: string,
  kind: TunnelKind,
  port: number,
  tunnelCount: number,
  seconds: number,
): Promise<{ readonly report: LoadReport; readonly end: () => Promise<void> }> {
  const words = ["idle", kind, port, ORIGIN_PORT, tunnelCount, seconds].map(String);
  const child = spawn(join(directory, "tunnels"), words, { stdio: ["pipe", "pipe", "inherit"] });
  const exited = once(child, "exit");
  const [chunk] = (await Promise.race([
    once(child.stdout, "data"),
    exited.then(() => {
      throw new Error(`${kind} to ${port}: the load ended early`);
    }),
  ])) as [Buffer];
  const end = async (): Promise<void> => {
    child.stdin.end();
    await exited;
  };
  return { report: reportOf(chunk.toString()), end };
}

function reportOf(output: string): LoadReport {
  return JSON.parse(output.trim().split("\n").at(-1)!) as LoadReport;
}

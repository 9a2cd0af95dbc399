/**
 * What do the checks of token, policy and limits cost? Two hosts as they are, by turns with the same load: one
 * whose clients are known by their source, without any policy, and one whose clients send a token, with lists of
 * destinations for pool and tenant and with every limit, none of which is reached. Then the same for the edge.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { buildLoad, loadGets, loadTunnels, type Login, startOrigin } from "./proxy/load.ts";
import { cpuSecondsOf } from "./proxy/process-tree.ts";
import { measureEdgeChecks } from "./edge-checks.ts";
import { compared, median, plain, type Row } from "./report.ts";

const ROUNDS = 9;
const SECONDS = 2;
const GET_CONNECTIONS = 64;
const TUNNELS = 32;
const ENTRIES = 200;
const MUCH = 1e9;
const LIMITS = {
  requestsPerSecond: MUCH,
  requestsInFlight: MUCH,
  tunnels: MUCH,
  ports: MUCH,
  bytesPerDay: 1e15,
};
/** Five in a hundred. */
const GOAL = 0.95;

interface Side {
  readonly port: number;
  readonly args: readonly string[];
  /** The file of its login; null for none. */
  readonly login: string | null;
}

const SIDES = {
  off: { port: 3_191, args: [], login: null },
  on: { port: 3_192, args: [JSON.stringify(LIMITS), String(ENTRIES)], login: "login-flood" },
} as const satisfies Record<string, Side>;
const CASES = ["GET", "CONNECT"] as const;

interface Figures {
  readonly perSecond: number[];
  readonly cpuUs: number[];
  errors: number;
}

interface Host extends Side {
  readonly child: ChildProcess;
  readonly credentials: Login | null;
}

export async function measureChecks(): Promise<Row[]> {
  return [...(await measureHostChecks()), ...(await measureEdgeChecks(GOAL))];
}

async function measureHostChecks(): Promise<Row[]> {
  const directory = await mkdtemp(join(tmpdir(), "ipshard-bench-checks-"));
  buildLoad(directory);
  const origin = await startOrigin(directory);
  const hosts: Record<string, Host> = {};
  try {
    for (const [name, side] of Object.entries(SIDES)) hosts[name] = await started(side, directory, name);
    const figures = new Map<string, Figures>();
    for (let round = 0; round <= ROUNDS; round += 1) {
      for (const what of CASES) {
        // Who is first alternates.
        const names = round % 2 === 0 ? ["off", "on"] : ["on", "off"];
        for (const name of names)
          await measure(figures, `${what} ${name}`, what, hosts[name]!, directory, round);
      }
    }
    return CASES.flatMap((what) => rowsOf(what, figures.get(`${what} on`)!, figures.get(`${what} off`)!));
  } finally {
    for (const { child } of Object.values(hosts)) child.kill("SIGKILL");
    origin.kill("SIGKILL");
    await rm(directory, { recursive: true, force: true });
  }
}

async function measure(
  figures: Map<string, Figures>,
  key: string,
  what: (typeof CASES)[number],
  { port, child, credentials }: Host,
  directory: string,
  round: number,
): Promise<void> {
  const before = await cpuSecondsOf(child.pid!);
  const report =
    what === "GET"
      ? await loadGets(port, GET_CONNECTIONS, SECONDS, credentials)
      : await loadTunnels(directory, "requests", "connect", port, TUNNELS, SECONDS, credentials);
  const cpuS = (await cpuSecondsOf(child.pid!)) - before;
  // The first is to warm up.
  if (round === 0) return;
  const known = figures.get(key) ?? { perSecond: [], cpuUs: [], errors: 0 };
  known.perSecond.push(report.count / report.seconds);
  known.cpuUs.push((cpuS / report.count) * 1e6);
  known.errors += report.errors;
  figures.set(key, known);
}

function rowsOf(what: string, on: Figures, off: Figures): Row[] {
  const common = { case: `${what} with all checks`, peerName: "none", goal: GOAL };
  return [
    compared({
      ...common,
      unit: "/s",
      better: "more",
      ours: median(on.perSecond),
      peer: median(off.perSecond),
    }),
    compared({
      ...common,
      unit: "CPU µs",
      better: "less",
      ours: median(on.cpuUs),
      peer: median(off.cpuUs),
      goal: null,
    }),
    plain(`${what}: errors`, "requests", on.errors + off.errors),
  ];
}

async function started(side: Side, directory: string, name: string): Promise<Host> {
  const { port, args, login } = side;
  const own = await mkdtemp(join(directory, `${name}-`));
  const program = join(import.meta.dirname, "proxy/ours.ts");
  const child = spawn(process.execPath, ["--expose-gc", program, String(port), own, ...args], {
    stdio: ["ignore", "inherit", "inherit"],
  });
  while (!(await listens(port))) await delay(100);
  const credentials = login === null ? null : (JSON.parse(await readFile(join(own, login), "utf8")) as Login);
  return { ...side, child, credentials };
}

async function listens(port: number): Promise<boolean> {
  const socket = connect(port, "127.0.0.1");
  const stands = await new Promise<boolean>((resolve) => {
    socket.once("connect", () => resolve(true));
    socket.once("error", () => resolve(false));
  });
  socket.destroy();
  return stands;
}

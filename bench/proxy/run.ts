/**
 * The measuring half of the `proxy` bench, in a namespace of its own: every proxy in every case that it
 * speaks, by turns. Tells its figures as the last line of its output.
 *
 *     node bench/proxy/run.ts [--rounds N] [--seconds N] [--case NAME] [--peer NAME]
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { type Contender, CONTENDERS, isInstalled, OURS, type Spoken } from "./contenders.ts";
import {
  buildLoad,
  keepTunnels,
  loadGets,
  loadTunnels,
  type LoadReport,
  type Login,
  startOrigin,
} from "./load.ts";
import { cpuSecondsOf, memoryMbOf } from "./process-tree.ts";

/** What was measured of one proxy in one case, a figure for each round. */
export interface Figures {
  readonly case: string;
  readonly name: string;
  readonly unit: "request" | "tunnel" | "Gbit";
  readonly perSecond: number[];
  readonly p99Ms: number[];
  /** For each request, tunnel, or Gbit. */
  readonly cpuUs: number[];
  errorCount: number;
}

/** Memory of one proxy. */
export interface MemoryFigure {
  readonly name: string;
  readonly kind: Spoken;
  /** As many as there came to be of those that were asked for. */
  readonly tunnelCount: number;
  readonly idleMb: number;
  readonly mb: number;
}

/** All of it. */
export interface ProxyReport {
  readonly figures: readonly Figures[];
  readonly memory: readonly MemoryFigure[];
  readonly missing: readonly string[];
  readonly roundCount: number;
}

/** A process may have 20,000 descriptors, and a tunnel takes two of its proxy. */
const IDLE_TUNNEL_COUNT = 9_000;
const IDLE_OPENING_S = 60;
const CONNECTION_COUNT = 64;
const FIRST_PROXY_PORT = 3_100;

interface Running {
  readonly contender: Contender;
  readonly port: number;
  readonly child: ChildProcess;
  readonly directory: string;
}

interface Case {
  readonly name: string;
  readonly spoken: Spoken;
  readonly unit: Figures["unit"];
  /** Only we know these clients. */
  readonly hasLogin?: true;
  readonly load: (port: number, seconds: number, login: Login | null) => Promise<LoadReport>;
}

const { values: options } = parseArgs({
  options: {
    rounds: { type: "string", default: "3" },
    seconds: { type: "string", default: "2" },
    case: { type: "string" },
    peer: { type: "string" },
  },
});
const roundCount = Number(options.rounds);
const seconds = Number(options.seconds);
const root = await mkdtemp(join(tmpdir(), "ipshard-bench-proxy-"));
// Some proxies give up root, and have to read what is theirs all the same.
await chmod(root, 0o755);
buildLoad(root);
try {
  process.stdout.write(`${JSON.stringify(await run())}\n`);
} finally {
  await rm(root, { recursive: true, force: true });
}
process.exit(0);

async function run(): Promise<ProxyReport> {
  await startOrigin(root);
  const missing = CONTENDERS.filter((contender) => !isInstalled(contender)).map(({ name }) => name);
  const wanted = CONTENDERS.filter(
    ({ name }) =>
      !missing.includes(name) && (options.peer === undefined || [OURS, options.peer].includes(name)),
  );
  const running: Running[] = [];
  for (const contender of wanted) running.push(await start(contender, FIRST_PROXY_PORT + running.length));
  const figures: Figures[] = [];
  for (const one of cases().filter(({ name }) => options.case === undefined || name.includes(options.case))) {
    figures.push(...(await measureCase(one, running)));
  }
  for (const { child } of running) await end(child);
  const memory = options.case === undefined || options.case === "memory" ? await measureMemory(wanted) : [];
  return { figures, memory, missing, roundCount };
}

function cases(): Case[] {
  const requests = (kind: "connect" | "socks5"): Case["load"] => {
    return (port, forS, login) => loadTunnels(root, "requests", kind, port, CONNECTION_COUNT, forS, login);
  };
  const bulk = (kind: "connect" | "socks5", tunnelCount: number): Case["load"] => {
    return (port, forS) => loadTunnels(root, "bulk", kind, port, tunnelCount, forS, null);
  };
  const gets: Case["load"] = (port, forS, login) => loadGets(port, CONNECTION_COUNT, forS, login);
  return [
    { name: "GET", spoken: "get", unit: "request", load: gets },
    { name: "GET with a token", spoken: "get", unit: "request", hasLogin: true, load: gets },
    { name: "CONNECT", spoken: "connect", unit: "tunnel", load: requests("connect") },
    {
      name: "CONNECT with a token",
      spoken: "connect",
      unit: "tunnel",
      hasLogin: true,
      load: requests("connect"),
    },
    { name: "SOCKS5", spoken: "socks5", unit: "tunnel", load: requests("socks5") },
    {
      name: "SOCKS5 with a login",
      spoken: "socks5",
      unit: "tunnel",
      hasLogin: true,
      load: requests("socks5"),
    },
    { name: "bulk, 1 tunnel by CONNECT", spoken: "connect", unit: "Gbit", load: bulk("connect", 1) },
    { name: "bulk, 1 tunnel by SOCKS5", spoken: "socks5", unit: "Gbit", load: bulk("socks5", 1) },
    { name: "bulk, 32 tunnels by CONNECT", spoken: "connect", unit: "Gbit", load: bulk("connect", 32) },
    { name: "bulk, 32 tunnels by SOCKS5", spoken: "socks5", unit: "Gbit", load: bulk("socks5", 32) },
  ];
}

async function measureCase(one: Case, running: readonly Running[]): Promise<Figures[]> {
  const inCase = running.filter(
    ({ contender: { name, speaks } }) =>
      speaks.includes(one.spoken) && (one.hasLogin === undefined || name === OURS),
  );
  const figures = inCase.map(({ contender: { name } }): Figures => ({
    case: one.name,
    name,
    unit: one.unit,
    perSecond: [],
    p99Ms: [],
    cpuUs: [],
    errorCount: 0,
  }));
  for (let round = 0; round <= roundCount; round += 1) {
    for (let turn = 0; turn < inCase.length; turn += 1) {
      const at = (turn + round) % inCase.length;
      const into = figures[at]!;
      // The first round warms up and is not counted.
      await measure(one, inCase[at]!, round === 0 ? null : into);
    }
  }
  for (const { name, perSecond, p99Ms, cpuUs, errorCount } of figures) {
    const shown = [perSecond, p99Ms, cpuUs].map((list) =>
      list.map((figure) => figure.toPrecision(3)).join(" "),
    );
    console.error(`${one.name}: ${name}: ${shown.join(" | ")} | ${errorCount} errors`);
  }
  return figures;
}

async function measure(one: Case, { contender, port, child, directory }: Running, into: Figures | null) {
  const login =
    one.hasLogin === true ? (JSON.parse(await readFile(join(directory, "login"), "utf8")) as Login) : null;
  const cpuBefore = await cpuSecondsOf(child.pid!);
  const report = await one.load(port, seconds, login);
  const cpuS = (await cpuSecondsOf(child.pid!)) - cpuBefore;
  const count = one.unit === "Gbit" ? (report.bytes * 8) / 1e9 : report.count;
  if (child.exitCode !== null) throw new Error(`${one.name}: ${contender.name} has ended`);
  if (count === 0) throw new Error(`${one.name}: nothing came through ${contender.name}`);
  if (into === null) return;
  into.perSecond.push(count / report.seconds);
  if (one.unit !== "Gbit") into.p99Ms.push(report.p99Us / 1_000);
  into.cpuUs.push((cpuS * 1e6) / count);
  into.errorCount += report.errors;
}

async function measureMemory(wanted: readonly Contender[]): Promise<MemoryFigure[]> {
  const figures: MemoryFigure[] = [];
  for (const contender of wanted) {
    const kind = contender.speaks.find((spoken) => spoken !== "get");
    if (kind === undefined) continue;
    const { child, port } = await start(contender, FIRST_PROXY_PORT + CONTENDERS.length + figures.length);
    const idleMb = await memoryMbOf(child.pid!);
    const { report, end: endTunnels } = await keepTunnels(
      root,
      kind,
      port,
      IDLE_TUNNEL_COUNT,
      IDLE_OPENING_S,
    );
    const mb = await memoryMbOf(child.pid!);
    figures.push({ name: contender.name, kind, tunnelCount: report.kept, idleMb, mb });
    console.error(
      `memory: ${contender.name}: ${idleMb.toFixed(0)} MB, ${mb.toFixed(0)} MB with ${report.kept}`,
    );
    await endTunnels();
    await end(child);
  }
  return figures;
}

async function start(contender: Contender, port: number): Promise<Running> {
  const directory = await mkdtemp(join(root, "proxy-"));
  await chmod(directory, 0o777);
  const { args, files = {} } = contender.start({ port, directory });
  for (const [name, text] of Object.entries(files))
    await writeFile(join(directory, name), `${text.trim()}\n`);
  // Some tell of every connection, which must not cost them more than a write that goes nowhere.
  const errors = contender.program === process.execPath ? "inherit" : "ignore";
  const child = spawn(contender.program, args, { stdio: ["ignore", "ignore", errors] });
  for (let attempt = 0; !(await accepts(port)); attempt += 1) {
    if (child.exitCode !== null || attempt === 200) throw new Error(`${contender.name} does not listen`);
    await new Promise((resolve) => {
      setTimeout(resolve, 50);
    });
  }
  return { contender, port, child, directory };
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, "exit");
  child.kill("SIGKILL");
  await exited;
}

async function accepts(port: number): Promise<boolean> {
  const socket = connect({ host: "127.0.0.1", port });
  const isOpen = await new Promise<boolean>((resolve) => {
    socket.once("connect", () => resolve(true));
    socket.once("error", () => resolve(false));
  });
  socket.destroy();
  return isOpen;
}

/**
 * What does a tenant notice of another that sends ten times what it may? One host, a tenant that asks
 * steadily and is within its limits, and beside it, by turns, nobody, one that is within its limits, and
 * one that asks for ten times its rate on many connections. Compared is the p99 of the first.
 *
 * Everybody asks at a rate of their own, whether answers come or not, and a latency counts from when the
 * request was due. What the flood's own programs take of the machine's cores is a part of the figures.
 */
import { type ChildProcess, fork, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildLoad, type Login, startOrigin } from "./proxy/load.ts";
import { compared, median, plain, type Row } from "./report.ts";
import type { AskerReport, AskerTask } from "./tenants/asker.ts";

const PORT = 3_190;
const ROUNDS = 7;
const SECONDS = 4;
/** Of the tenant that is flooding: its limits, and what it sends. */
const LIMITS = { requestsPerSecond: 100, requestsInFlight: 50, tunnels: 50, ports: 50 };
const FLOOD = { perSecond: 1_000, connectionCount: 100 };
const GOOD = { perSecond: 200, connectionCount: 8 };
/** The p99 may be a third higher. */
const GOAL = 3 / 4;

interface Figures {
  readonly p99Ms: number[];
  lostCount: number;
  refusedCount: number;
  floodCount: number;
}

const CASES = { alone: null, "beside one within its limits": 1 / 10, "beside a flood": 1 } as const;

export async function measureTenants(): Promise<Row[]> {
  const directory = await mkdtemp(join(tmpdir(), "ipshard-bench-tenants-"));
  buildLoad(directory);
  const origin = await startOrigin(directory);
  const host = spawn(
    process.execPath,
    [join(import.meta.dirname, "proxy/ours.ts"), String(PORT), directory, JSON.stringify(LIMITS)],
    { stdio: ["ignore", "inherit", "inherit"] },
  );
  try {
    await untilListening();
    return rowsOf(await rounds(directory));
  } finally {
    host.kill("SIGKILL");
    origin.kill("SIGKILL");
    await rm(directory, { recursive: true, force: true });
  }
}

async function rounds(directory: string): Promise<Map<string, Figures>> {
  const good = await loginOf(directory, "login");
  const flood = await loginOf(directory, "login-flood");
  const figures = new Map<string, Figures>();
  // The first is to warm up.
  for (let round = 0; round <= ROUNDS; round += 1) {
    for (const [name, share] of Object.entries(CASES)) {
      const other = share === null ? null : { ...FLOOD, perSecond: FLOOD.perSecond * share, login: flood };
      const [own, others] = await Promise.all([
        asked({ ...GOOD, login: good, seconds: SECONDS, port: PORT }),
        other === null ? null : asked({ ...other, seconds: SECONDS, port: PORT }),
      ]);
      if (round === 0) continue;
      const known = figures.get(name) ?? { p99Ms: [], lostCount: 0, refusedCount: 0, floodCount: 0 };
      known.p99Ms.push(own.p99Ms);
      known.lostCount += own.askedCount - own.answeredCount;
      known.refusedCount += others?.limitedCount ?? 0;
      known.floodCount += others?.askedCount ?? 0;
      figures.set(name, known);
    }
  }
  return figures;
}

function rowsOf(figures: Map<string, Figures>): Row[] {
  const alone = figures.get("alone")!;
  const rows: Row[] = [];
  for (const [name, { p99Ms, lostCount, refusedCount, floodCount }] of figures) {
    rows.push(plain(`requests lost, ${name}`, "requests", lostCount));
    if (name === "alone") continue;
    rows.push(plain(`refused of the other's, ${name}`, "%", (refusedCount / floodCount) * 100));
    rows.push(
      compared({
        case: name,
        unit: "p99 ms",
        better: "less",
        ours: median(p99Ms),
        peer: median(alone.p99Ms),
        peerName: "alone",
        goal: name === "beside a flood" ? GOAL : null,
      }),
    );
  }
  return [...rows, plain("each case", "rounds", ROUNDS)];
}

async function asked(task: AskerTask): Promise<AskerReport> {
  const child: ChildProcess = fork(join(import.meta.dirname, "tenants/asker.ts"));
  child.send(task);
  const [report] = (await once(child, "message")) as [AskerReport];
  child.kill();
  return report;
}

async function loginOf(directory: string, file: string): Promise<Login> {
  return JSON.parse(await readFile(join(directory, file), "utf8")) as Login;
}

async function untilListening(): Promise<void> {
  for (;;) {
    const socket = connect(PORT, "127.0.0.1");
    const stands = await new Promise((resolve) => {
      socket.once("connect", () => resolve(true));
      socket.once("error", () => resolve(false));
    });
    socket.destroy();
    if (stands === true) return;
    await new Promise((resolve) => {
      setTimeout(resolve, 100);
    });
  }
}

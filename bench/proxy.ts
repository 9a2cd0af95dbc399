/**
 * Is our proxy as fast as those that one would use instead? Each with the same load, by turns, in one
 * network namespace that has nothing else in it: small GETs on kept connections, tunnels with one GET each
 * by CONNECT and SOCKS5, bytes in bulk, and memory with idle tunnels.
 *
 * Load, origin and proxy share the machine's cores, so besides what comes through in a second it is told
 * what CPU time the proxy's own processes took for it. Nothing is pinned to a core.
 */
import { spawn } from "node:child_process";
import { join } from "node:path";
import { OURS } from "./proxy/contenders.ts";
import type { Figures, ProxyReport } from "./proxy/run.ts";
import { compared, median, plain, type Row } from "./report.ts";

/**
 * The kernel's own choice of ports is kept off ours: it does not take a port that somebody has bound.
 * All that is started ends with the namespace of processes.
 */
const WORDS = ["--net", "--pid", "--fork", "--kill-child", "--mount-proc"];
const SET_UP = "ip link set lo up && echo 32768 65535 > /proc/sys/net/ipv4/ip_local_port_range";

export async function measureProxy(): Promise<Row[]> {
  const { figures, memory, missing, roundCount } = await runInNamespace();
  const rows = figures
    .filter(({ name }) => name !== OURS)
    .flatMap((peer) => rowsOf(ours(figures, peer), peer));
  const alone = figures.filter(
    (one) => one.name === OURS && !figures.some((peer) => peer.case === one.case && peer !== one),
  );
  const ourMemory = memory.find(({ name }) => name === OURS)!;
  return [
    ...rows,
    ...alone.flatMap((one) => [
      plain(one.case + failuresOf("ours", one), perSecondOf(one), median(one.perSecond)),
      plain(one.case, "p99 ms", median(one.p99Ms)),
      plain(one.case, `CPU µs/${one.unit}`, median(one.cpuUs)),
    ]),
    ...memory
      .filter(({ name }) => name !== OURS)
      .map((peer) =>
        compared({
          case: `idle tunnels, ${ourMemory.tunnelCount} and ${peer.tunnelCount}`,
          unit: "MB",
          better: "less",
          ours: ourMemory.mb,
          peer: peer.mb,
          peerName: peer.name,
          goal: peer.tunnelCount === ourMemory.tunnelCount ? 1 : null,
        }),
      ),
    ...missing.map((name) => plain(`${name} is not installed`, "figures", 0)),
    plain("each case", "rounds", roundCount),
  ];
}

function ours(figures: readonly Figures[], peer: Figures): Figures {
  return figures.find((one) => one.name === OURS && one.case === peer.case)!;
}

function rowsOf(own: Figures, peer: Figures): Row[] {
  const row = (unit: string, better: "more" | "less", figure: Figure): Row =>
    compared({
      case: own.case + failuresOf("ours", own) + failuresOf("the peer's", peer),
      unit,
      better,
      ours: median(own[figure]),
      peer: median(peer[figure]),
      peerName: peer.name,
      goal: 1,
    });
  return [
    row(perSecondOf(own), "more", "perSecond"),
    ...(own.p99Ms.length > 0 ? [row("p99 ms", "less", "p99Ms")] : []),
    row(`CPU µs/${own.unit}`, "less", "cpuUs"),
  ];
}

type Figure = "perSecond" | "p99Ms" | "cpuUs";

/** Said beside the figures; a peer that keeps no connections fails once for each. */
function failuresOf(whose: string, { errorCount }: Figures): string {
  return errorCount === 0 ? "" : ` (${errorCount} of ${whose} failed)`;
}

function perSecondOf({ unit }: Figures): string {
  return unit === "Gbit" ? "Gbit/s" : `${unit}s/s`;
}

function runInNamespace(): Promise<ProxyReport> {
  const program = join(import.meta.dirname, "proxy/run.ts");
  const inside = ["sh", "-c", `${SET_UP} && exec "$0" "$@"`, process.execPath, program];
  const child = spawn("unshare", [...WORDS, ...inside], { stdio: ["ignore", "pipe", "inherit"] });
  let output = "";
  child.stdout.on("data", (chunk: Buffer) => {
    output += chunk.toString();
  });
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (code) => {
      if (code === 0) resolve(JSON.parse(output.trim().split("\n").at(-1)!) as ProxyReport);
      else reject(new Error(`the measuring process ended with ${code}`));
    });
  });
}

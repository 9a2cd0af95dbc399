/**
 * Is choosing a port flat? Choosing and connecting at 1, 50, 90, 99 and 99.9 % occupancy
 * towards one destination, against the kernel's own choice among the same ports.
 *
 * In a network namespace of its own where root allows, with the kernel's ephemeral range set
 * to our ports; else on plain loopback, where the kernel has a wider range and it easier.
 */
import { execFileSync, spawn } from "node:child_process";
import { join } from "node:path";
import type { ClientReport } from "./bind-client.ts";
import { FIRST_PORT, OCCUPANCIES, PORT_COUNT } from "./bind-client.ts";
import { compared, median, plain, type Row } from "./report.ts";

const FLATNESS = 1.5;

export async function measureBind(): Promise<Row[]> {
  const namespace = makeNamespace();
  try {
    const report = await runClient(namespace);
    const rows = OCCUPANCIES.map((occupancy) =>
      compared({
        case: `at ${occupancy * 100} %`,
        unit: "µs to choose and connect",
        better: "less",
        ours: median(report.ours[String(occupancy)]!),
        peer: median(report.kernel[String(occupancy)]!),
        peerName: "kernel's own choice",
        goal: occupancy === OCCUPANCIES[0] ? 1 : null,
      }),
    );
    return [
      ...rows,
      compared({
        case: "flat from 1 to 99.9 %",
        unit: "µs to choose and connect",
        better: "less",
        ours: rows.at(-1)!.ours,
        peer: rows[0]!.ours,
        peerName: "ours at 1 %",
        goal: 1 / FLATNESS,
      }),
      compared({
        case: "ports used when full",
        unit: "ports",
        better: "more",
        ours: report.usedPortCount,
        peer: PORT_COUNT,
        peerName: "ports that exist",
        goal: 1,
      }),
      plain(namespace === null ? "on plain loopback" : "in a network namespace", "rounds", report.roundCount),
    ];
  } finally {
    if (namespace !== null) execFileSync("ip", ["netns", "delete", namespace]);
  }
}

/** A namespace with loopback up and the kernel's range set to our ports; null where not allowed. */
function makeNamespace(): string | null {
  const name = `ipshard-bind-${process.pid}`;
  try {
    execFileSync("ip", ["netns", "add", name], { stdio: "ignore" });
  } catch {
    return null;
  }
  const within = (...words: string[]): void => {
    execFileSync("ip", ["netns", "exec", name, ...words], { stdio: "ignore" });
  };
  within("ip", "link", "set", "lo", "up");
  const range = `${FIRST_PORT} ${FIRST_PORT + PORT_COUNT - 1}`;
  within("sh", "-c", `echo ${range} > /proc/sys/net/ipv4/ip_local_port_range`);
  return name;
}

function runClient(namespace: string | null): Promise<ClientReport> {
  const client = [process.execPath, join(import.meta.dirname, "bind-client.ts"), "--run"];
  const words = namespace === null ? client : ["ip", "netns", "exec", namespace, ...client];
  const child = spawn(words[0]!, words.slice(1), { stdio: ["ignore", "pipe", "inherit"] });
  let output = "";
  child.stdout.on("data", (chunk: Buffer) => {
    output += chunk.toString();
  });
  return new Promise((resolve, reject) => {
    child.once("exit", (code) => {
      if (code === 0) resolve(JSON.parse(output) as ClientReport);
      else reject(new Error(`the client ended with ${code}`));
    });
  });
}

/**
 * Two generators of small packets, both on one processor. One sends from a socket (trafgen), so that the router under test
 * gets packet buffers; the other has the kernel make frames and put them on the wire as a network card would,
 * (`load/live-frames.c`), which is what XDP is made for.
 */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { compileBpf } from "../src/linux/bpf-compiler.ts";

const run = promisify(execFile);
const LOAD = join(import.meta.dirname, "load");
const CPU = 1;
/**
 * A rate that is never reached. With one, trafgen sends each packet by a system call of its
 * own, and its headers lie together in memory as those from a network card do.
 */
const PACE = ["--rate", "50000000pps"];
const WARM_UP_MS = 400;

/** Packets of a device since it was made. */
export interface Traffic {
  readonly rxPackets: number;
  readonly txPackets: number;
}

/** Reads the lines of /proc/net/dev. */
export function trafficOf(text: string, device: string): Traffic {
  const line = text.split("\n").find((candidate) => candidate.trim().startsWith(`${device}:`))!;
  const figures = line
    .slice(line.indexOf(":") + 1)
    .trim()
    .split(/\s+/)
    .map(Number);
  return { rxPackets: figures[1]!, txPackets: figures[9]! };
}

/** Sends from a socket of this namespace out of a device, for a while; µs of processor a packet. */
export async function sendFromSocket(
  namespace: string,
  device: string,
  addressCount: number,
  options: { readonly windowMs: number; readonly directory: string },
): Promise<number> {
  const config = join(options.directory, "packets");
  await writeFile(config, packetConfig(addressCount));
  const words = ["--dev", device, "-c", config, "--cpus", "1", ...PACE];
  const child = spawn("ip", ["netns", "exec", namespace, "trafgen", ...words], { stdio: "ignore" });
  const ended = once(child, "exit");
  try {
    await sleep(WARM_UP_MS);
    const start = sample(child, device);
    await sleep(options.windowMs);
    const end = sample(child, device);
    if (end.packets === start.packets) throw new Error("trafgen sends nothing");
    return (end.cpuNs - start.cpuNs) / 1000 / (end.packets - start.packets);
  } finally {
    for (const pid of [...childrenOf(child.pid!), child.pid!]) process.kill(pid, "SIGKILL");
    await ended;
  }
}

/** What the generator has used and sent so far; the kernel's work for its packets counts as its own. */
function sample(child: ChildProcess, device: string): { cpuNs: number; packets: number } {
  const pids = [child.pid!, ...childrenOf(child.pid!)];
  const times = pids.map((pid) => Number(readFileSync(`/proc/${pid}/schedstat`, "utf8").split(" ")[0]));
  const { txPackets } = trafficOf(readFileSync(`/proc/${child.pid}/net/dev`, "utf8"), device);
  return { cpuNs: times.reduce((sum, time) => sum + time, 0), packets: txPackets };
}

function childrenOf(pid: number): number[] {
  const listed = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim();
  return listed === "" ? [] : listed.split(" ").map(Number);
}

/** Packets of 60 octets, the least that Ethernet carries. */
function packetConfig(addressCount: number): string {
  const first = 0xc612_0000;
  const to = addressCount === 1 ? "198.18.0.0" : `drnd(${first}, ${first + addressCount - 1})`;
  return `{ eth(da=02:00:00:00:00:01, sa=02:00:00:00:00:02, type=0x0800),
    ipv4(sa=203.0.113.1, da=${to}, ttl=64, proto=17),
    udp(sp=443, dp=drnd(1024, 65535)), fill(0x41, 18) }\n`;
}

/** Frames that the kernel makes; its programs are pinned from `create` to `destroy`. */
export class FrameGenerator {
  readonly #directory: string;
  readonly #pins: string;

  private constructor(directory: string, pins: string) {
    this.#directory = directory;
    this.#pins = pins;
  }

  static async create(directory: string, pins: string): Promise<FrameGenerator> {
    const [object, program] = [join(directory, "frames.o"), join(directory, "live-frames")];
    await compileBpf(join(LOAD, "frames.c"), object);
    await run("gcc", ["-O2", "-o", program, join(LOAD, "live-frames.c")]);
    await run("bpftool", ["prog", "loadall", object, pins, "type", "xdp", "pinmaps", pins]);
    return new FrameGenerator(directory, pins);
  }

  /** Counts what comes to a device, and drops it there. */
  async dropAt(namespace: string, device: string): Promise<void> {
    const program = ["pinned", join(this.#pins, "bench_drop")];
    await run("nsenter", [
      `--net=/run/netns/${namespace}`,
      "bpftool",
      "net",
      "attach",
      "xdpdrv",
      ...program,
      "dev",
      device,
    ]);
  }

  /** Takes the counting away. */
  async dropNoMoreAt(namespace: string, device: string): Promise<void> {
    await run("ip", ["-n", namespace, "link", "set", "dev", device, "xdpdrv", "off"]);
  }

  /** Sends so many frames out of a device; µs of processor for each that arrived, and the share that did. */
  async send(
    namespace: string,
    device: string,
    addressCount: number,
    frameCount: number,
  ): Promise<{ costUs: number; arrivedShare: number }> {
    const within = [`--net=/run/netns/${namespace}`];
    const { stdout } = await run("nsenter", [...within, "ip", "-j", "link", "show", "dev", device]);
    const [{ ifindex }] = JSON.parse(stdout) as [{ ifindex: number }];
    const target = [...littleEndian(addressCount), ...littleEndian(ifindex)];
    const map = ["map", "update", "pinned", join(this.#pins, "targets"), "key", "hex", "0", "0", "0", "0"];
    await run("bpftool", [...map, "value", "hex", ...target]);
    const before = await this.#arrived();
    const words = [join(this.#pins, "bench_make"), String(frameCount), String(CPU)];
    const said = await run("nsenter", [...within, join(this.#directory, "live-frames"), ...words]);
    const arrived = (await this.#arrived()) - before;
    return { costUs: Number(said.stdout) / 1000 / arrived, arrivedShare: arrived / frameCount };
  }

  async #arrived(): Promise<number> {
    const { stdout } = await run("bpftool", ["-j", "map", "dump", "pinned", join(this.#pins, "arrived")]);
    const [{ values }] = JSON.parse(stdout) as [{ values: { value: string[] }[] }];
    const counts = values.map(({ value }) => Buffer.from(value.map(Number)).readBigUInt64LE());
    return Number(counts.reduce((sum, count) => sum + count, 0n));
  }
}

function littleEndian(value: number): string[] {
  return [0, 8, 16, 24].map((shift) => ((value >>> shift) & 255).toString(16));
}

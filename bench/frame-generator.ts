/**
 * A second generator of small packets: it has the kernel make frames and put them on the wire as a network card would
 * (`load/live-frames.c`), which is what XDP is made for. Its kernel does all that becomes of them on the same processor.
 */
import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { compileBpf } from "../src/linux/bpf-compiler.ts";

const run = promisify(execFile);
const LOAD = join(import.meta.dirname, "load");
const CPU = 1;

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
  dropAt(namespace: string, device: string): Promise<void> {
    return this.#attach("bench_drop", namespace, device);
  }

  /** Has a device take frames in, and hands them on to its kernel. */
  passAt(namespace: string, device: string): Promise<void> {
    return this.#attach("bench_pass", namespace, device);
  }

  async #attach(name: string, namespace: string, device: string): Promise<void> {
    const program = ["pinned", join(this.#pins, name)];
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

  /** Takes either away. */
  async leave(namespace: string, device: string): Promise<void> {
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

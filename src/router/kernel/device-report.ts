/**
 * Which devices take frames that XDP redirects to them, told by a file that the kernel makes when it is read
 * (`xdp/devices.c`). It tells of the network of the reader.
 */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import type { BpftoolSession } from "../../linux/bpftool-session.ts";
import { runCommand } from "../../linux/kernel-commands.ts";
import { expectBpfFileSystem } from "./bpf-file-system.ts";

/** The kernel's `NETDEV_XDP_ACT_NDO_XMIT`. */
const NDO_XMIT = 4;

/** One pinned file. */
export class DeviceReport {
  readonly #file: string;
  readonly #cat: readonly string[];

  private constructor(file: string, cat: readonly string[]) {
    this.#file = file;
    this.#cat = cat;
  }

  /** Pins it in a directory, in the place of an earlier one. `cat` is the command that reads a file there. */
  static async pin(
    session: BpftoolSession,
    { directory, object, cat }: { directory: string; object: string; cat: readonly string[] },
  ): Promise<DeviceReport> {
    await expectBpfFileSystem(directory);
    const file = join(directory, "devices");
    await rm(file, { force: true });
    await session.run(["iter", "pin", object, file]);
    return new DeviceReport(file, cat);
  }

  /** The devices of these to which the kernel can redirect, by their names. */
  async redirectable(indexes: ReadonlyMap<string, number>): Promise<Set<string>> {
    const lines = (await runCommand([...this.#cat, this.#file])).split("\n");
    const pairs = lines.map((line) => line.split(" ").map(Number) as [number, number]);
    const able = new Set(pairs.flatMap(([index, features]) => ((features & NDO_XMIT) !== 0 ? [index] : [])));
    return new Set([...indexes].flatMap(([name, index]) => (able.has(index) ? [name] : [])));
  }
}

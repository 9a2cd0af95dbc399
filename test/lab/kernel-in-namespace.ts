/** The kernel of another network namespace, for a router's back end in this process. */
import { statSync } from "node:fs";
import type { KernelCommands } from "../../src/router/kernel/kernel-tools.ts";
import { pinDirectoryOf } from "../../src/router/kernel/xdp-pins.ts";

/** How programs are called in a network namespace, without a view of files of their own. */
export function commandsIn(namespace: string): KernelCommands {
  const within = (program: string): string[] => ["nsenter", `--net=/run/netns/${namespace}`, program];
  return { nft: within("nft"), ip: within("ip"), bpftool: within("bpftool"), cat: within("cat") };
}

/** Where a router of that namespace pins its program, as it would itself. */
export function pinDirectoryIn(namespace: string, table: string): string {
  return pinDirectoryOf(table, statSync(`/run/netns/${namespace}`).ino);
}

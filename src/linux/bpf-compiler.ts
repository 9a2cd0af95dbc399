/** Compiles a program for the kernel, by clang and the headers of libbpf. */
import { basename, dirname } from "node:path";
import { KernelFault, runCommand } from "./kernel-commands.ts";

/** Debian has the headers of each architecture in a directory of its own; any serves, since only sizes are asked. */
const ARCHITECTURES: Readonly<Record<string, string>> = {
  x64: "x86_64-linux-gnu",
  arm64: "aarch64-linux-gnu",
};

/** Compiles one source file; a fault says what is missing. Nothing of the place where it was compiled gets in. */
export async function compileBpf(source: string, object: string): Promise<void> {
  const headers = `/usr/include/${ARCHITECTURES[process.arch] ?? process.arch}`;
  const how = [
    "-O2",
    "-g",
    "-target",
    "bpf",
    "-mcpu=v3",
    "-fno-strict-aliasing",
    "-Wall",
    "-Werror",
    `-I${headers}`,
  ];
  const place = ["-fdebug-compilation-dir=.", `-ffile-prefix-map=${dirname(source)}=.`];
  try {
    await runCommand(["clang", ...how, ...place, "-c", source, "-o", object]);
  } catch (fault) {
    if (!(fault instanceof KernelFault)) throw fault;
    const cure = "apt-get install clang libbpf-dev";
    throw new KernelFault(
      "xdp-unavailable",
      `${basename(source)} cannot be compiled (${cure}): ${firstLine(fault.message)}`,
      fault,
    );
  }
}

function firstLine(text: string): string {
  return text.split("\n", 1)[0]!;
}

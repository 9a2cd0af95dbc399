/**
 * How agents and routers speak to the kernel: `nft` and `ip` as programs with their arguments in
 * a list, never through a shell, and settings as files under /proc/sys.
 */
import { execFile } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";

/** What failed: a program, its absence or silence, a transaction, a device, or a second user of what only one may use. */
export type KernelFaultCode =
  | "command-failed"
  | "command-missing"
  | "command-silent"
  | "transaction-refused"
  | "configuration-wrong"
  | "device-missing"
  | "xdp-unavailable"
  | "guard-in-use";

/** The kernel, or a program that talks to it, did not do what was asked; the message quotes it. */
export class KernelFault extends Error {
  override readonly name = "KernelFault";
  readonly code: KernelFaultCode;

  constructor(code: KernelFaultCode, message: string, cause?: unknown) {
    super(message, { cause });
    this.code = code;
  }
}

/** None of these programs waits for anything but the kernel. */
const LONGEST_RUN_MS = 10_000;
const LONGEST_OUTPUT_BYTES = 64 * 2 ** 20;

/** Runs a program to its end and gives what it wrote; `input` is what it reads. */
export function runCommand(argv: readonly string[], input = ""): Promise<string> {
  const [command, ...args] = argv as [string, ...string[]];
  const options = { timeout: LONGEST_RUN_MS, maxBuffer: LONGEST_OUTPUT_BYTES };
  return new Promise((resolve, reject) => {
    const child = execFile(command, args, options, (fault, stdout, stderr) => {
      if (fault === null) return resolve(stdout);
      if (fault.code === "ENOENT") {
        return reject(new KernelFault("command-missing", `the program ${command} is not installed`, fault));
      }
      const said = stderr.trim() === "" ? fault.message : stderr.trim();
      reject(new KernelFault("command-failed", `${argv.join(" ")}: ${said}`, fault));
    });
    // A program that fails early does not read its input; its exit code tells.
    child.stdin?.on("error", () => {});
    child.stdin?.end(input);
  });
}

/** A kernel setting such as `net/ipv4/ip_forward`; null where the kernel has none of this name. */
export async function readSetting(name: string): Promise<string | null> {
  try {
    return (await readFile(`/proc/sys/${name}`, "utf8")).trim();
  } catch (fault) {
    if ((fault as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw new KernelFault("command-failed", `${name} cannot be read`, fault);
  }
}

/** Changes a kernel setting. */
export async function writeSetting(name: string, value: string): Promise<void> {
  try {
    await writeFile(`/proc/sys/${name}`, value);
  } catch (fault) {
    throw new KernelFault("command-failed", `${name} cannot be set to ${value}`, fault);
  }
}

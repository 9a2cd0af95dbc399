/** The kernel's tracking table, by the program `conntrack`. [SN4] [SN6] */
import { spawn } from "node:child_process";
import type { Family } from "../../core/address-family.ts";
import { KernelFault, runCommand } from "../../linux/kernel-commands.ts";
import { ANY_ENTRY, type EntryMark } from "./entry-mark.ts";
import { readFlow, type TranslatedFlow } from "./translated-flow.ts";

const LONGEST_LISTING_MS = 30_000;
const NOTHING_ENDED = /\b0 flow entries have been deleted/;

/** All flows that leave by these addresses, by address. A long table does not stop this process meanwhile. */
export async function listFlows(ips: ReadonlySet<string>): Promise<Map<string, TranslatedFlow[]>> {
  const flows = new Map<string, TranslatedFlow[]>();
  // The kernel itself leaves out what has another mark: there may be many more entries of others.
  const { value, mask } = ANY_ENTRY;
  const child = spawn("conntrack", ["-L", "-m", `${value}/${mask}`], { stdio: ["ignore", "pipe", "pipe"] });
  const timer = setTimeout(() => child.kill("SIGKILL"), LONGEST_LISTING_MS);
  let said = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    said = (said + text).slice(-1_000);
  });
  const ended = new Promise<void>((resolve, reject) => {
    child.once("error", (cause) => reject(missing(cause)));
    child.once("close", (code, signal) => {
      if (code === 0) resolve();
      else
        reject(new KernelFault("command-failed", `conntrack -L ended (${signal ?? code}): ${said.trim()}`));
    });
  });
  // Whoever waits below hears of it.
  ended.catch(() => {});
  try {
    let begun = "";
    for await (const text of child.stdout.setEncoding("utf8")) {
      // By hand, since a listing may have a hundred thousand lines, and more than one in a second is wanted.
      const lines = (begun + text).split("\n");
      begun = lines.pop()!;
      for (const line of lines) note(flows, readFlow(line), ips);
    }
    await ended;
  } finally {
    clearTimeout(timer);
  }
  return flows;
}

function note(
  flows: Map<string, TranslatedFlow[]>,
  flow: TranslatedFlow | null,
  ips: ReadonlySet<string>,
): void {
  if (flow === null || !ips.has(flow.ip)) return;
  const known = flows.get(flow.ip);
  if (known === undefined) flows.set(flow.ip, [flow]);
  else known.push(flow);
}

/** Ends all entries of a family with such a mark. With a long table each mark takes a while. */
export async function endEntries(family: Family, { value, mask }: EntryMark): Promise<void> {
  try {
    await runCommand(["conntrack", "-D", "-f", `ipv${family}`, "-m", `${value}/${mask}`]);
  } catch (fault) {
    if (!(fault instanceof KernelFault && NOTHING_ENDED.test(fault.message))) throw fault;
  }
}

function missing(cause: Error): KernelFault {
  return (cause as NodeJS.ErrnoException).code === "ENOENT"
    ? new KernelFault("command-missing", "the program conntrack is not installed", cause)
    : new KernelFault("command-failed", cause.message, cause);
}

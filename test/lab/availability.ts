/**
 * Whether the laboratory can run here: it needs Linux, root, network namespaces and the
 * kernel's tools. Whoever runs it must show the reason, never pass it over in silence.
 */
import { spawnSync } from "node:child_process";

/** Yes, or why not, in a sentence. */
export type Availability = { readonly ok: true } | { readonly ok: false; readonly reason: string };

/** What a runner exits with when the laboratory was skipped: neither success nor failure. */
export const SKIPPED_EXIT_CODE = 77;

const TOOLS: readonly (readonly [command: string, ...rest: string[]])[] = [
  ["ip", "-V"],
  ["bridge", "-V"],
  ["nft", "--version"],
  ["tcpdump", "--version"],
  ["perl", "-v"],
  ["conntrack", "--version"],
  ["curl", "--version"],
  ["dig", "-v"],
  ["ncat", "--version"],
  ["ping", "-V"],
  ["traceroute", "--version"],
];

/** Asks the machine; makes and removes one network namespace. */
export function labAvailability(): Availability {
  if (process.platform !== "linux") return no("the laboratory needs Linux");
  if (process.getuid?.() !== 0) return no("the laboratory needs root, to make network namespaces");
  for (const [command, ...args] of TOOLS) {
    const { error } = spawnSync(command, args, { stdio: "ignore" });
    if (error !== undefined) return no(`the laboratory needs the program ${command}, which is not here`);
  }
  return namespacesWork();
}

function namespacesWork(): Availability {
  const name = `ipshard-trial-${process.pid}`;
  const made = spawnSync("ip", ["netns", "add", name], { encoding: "utf8" });
  if (made.status !== 0) return no(`network namespaces cannot be made: ${made.stderr.trim()}`);
  const listed = spawnSync("ip", ["netns", "exec", name, "nft", "list", "tables"], { encoding: "utf8" });
  spawnSync("ip", ["netns", "del", name]);
  if (listed.status !== 0) return no(`nftables does not work in a namespace: ${listed.stderr.trim()}`);
  return { ok: true };
}

function no(reason: string): Availability {
  return { ok: false, reason };
}

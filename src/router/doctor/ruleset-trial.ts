/**
 * Whether this kernel and nftables can carry a router's rules at all, asked of them and not of
 * their version numbers: the rules for a small pool are loaded in a network namespace of their
 * own, which is gone when nft ends.
 */
import { execFile } from "node:child_process";
import { DEFAULT_ROUTER_CONFIG, type RouterConfig } from "../steering/router-config.ts";
import { printTransactions } from "../rules/steering-transactions.ts";

const CONFIG: RouterConfig = {
  ...DEFAULT_ROUTER_CONFIG,
  ingressDevices: ["lo"],
  neighbourDevice: "lo",
  hosts: new Map([["routed", { kind: "routed", device: "lo", nextHops: [] }]]),
};

const LONGEST_TRIAL_MS = 10_000;

/** A block of each way, in each family, of each size of element. */
const ENTRIES = ["192.0.2.1", "2001:db8::1"].flatMap((ip) =>
  ["near", "routed"].flatMap((host, at) =>
    [6, 8, 11].map((order) => ({ ip, base: (1 + order + 16 * at) * 2048, order, host, epoch: 1 })),
  ),
);

/** Null when it can, or when this user may not try; else nft's first error. */
export async function tryRuleset(): Promise<string | null> {
  const lines = printTransactions(CONFIG, {
    sequence: 1,
    ips: ["192.0.2.1", "2001:db8::1"],
    entries: ENTRIES,
    nextHops: [{ host: "near", ipv4: "192.0.2.2", ipv6: "2001:db8::2" }],
  });
  return firstComplaint(["--net", "nft", "-j", "-i"], `${lines.join("\n")}\n`);
}

/** Interactive, since it is several transactions; so nft exits with 0 even after an error. */
function firstComplaint(args: readonly string[], input: string): Promise<string | null> {
  const env = { PATH: process.env["PATH"], HOME: "/nonexistent", LC_ALL: "C" };
  return new Promise((resolve) => {
    const child = execFile("unshare", args, { timeout: LONGEST_TRIAL_MS, env }, (fault, _, complaints) => {
      const isTold = fault === null && complaints.trim() !== "";
      resolve(isTold ? complaints.trim().split("\n")[0]! : null);
    });
    // An nft that cannot start does not read its input.
    child.stdin?.on("error", () => {});
    child.stdin?.end(input);
  });
}

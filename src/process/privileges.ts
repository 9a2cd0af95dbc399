/** What this process may do to the kernel, whoever it runs as. */
import { readFileSync } from "node:fs";

/** Bits of CapEff in /proc/self/status. */
const CAP_NET_ADMIN = 12n;

/** Whether it may change rules, addresses, routes and the network's settings: as root, or as a service that was given this alone. */
export function mayAdministerNetwork(): boolean {
  const [, capabilities] = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync("/proc/self/status", "utf8")) ?? [];
  return ((BigInt(`0x${capabilities ?? "0"}`) >> CAP_NET_ADMIN) & 1n) === 1n;
}

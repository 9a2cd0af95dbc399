/** What the guard on a host of the laboratory has counted. */
import type { Lab } from "./lab.ts";
import type { Role } from "./plan.ts";

/** Fragments of packets of a shared address that the guard has dropped. */
export async function fragmentsDropped(lab: Lab, host: Role, ip: string): Promise<number> {
  const name = `from_${ip.replaceAll(/[.:]/g, "_")}_fragments`;
  let count = 0;
  for (const family of ["inet", "netdev"]) {
    const { stdout } = await lab.exec(host, [
      "nft",
      "-j",
      "list",
      "counters",
      "table",
      family,
      "ipshard_guard",
    ]);
    const { nftables } = JSON.parse(stdout) as {
      nftables: { counter?: { name: string; packets: number } }[];
    };
    count += nftables.find(({ counter }) => counter?.name === name)?.counter?.packets ?? 0;
  }
  return count;
}

/**
 * Steering by hand, as an operator could do it: a map from shared address and port to a mark,
 * and one routing table for each mark. The laboratory checks itself with it, before any
 * router of ours runs.
 */
import type { PortRange } from "../../src/core/port-block.ts";
import type { Lab } from "./lab.ts";
import { hostOnLan, type Role, SHARED_IPV4, SHARED_IPV6 } from "./plan.ts";

/** Which ports of both shared addresses belong to a host, by its number. */
export interface Share extends PortRange {
  readonly host: number;
}

const TABLE_OFFSET = 100;

/** Tells a router for good where packets for these ports go; all others it drops and counts. */
export async function steerStatically(lab: Lab, router: Role, shares: readonly Share[]): Promise<void> {
  for (const family of ["-4", "-6"] as const) {
    const lines = shares.flatMap(({ host }) => {
      const { ipv4, ipv6 } = hostOnLan(host);
      const table = TABLE_OFFSET + host;
      return [
        `route add default via ${family === "-4" ? ipv4 : ipv6} dev lan0 table ${table}`,
        `rule add fwmark ${host} lookup ${table} priority ${table}`,
      ];
    });
    await lab.exec(router, ["ip", family, "-batch", "-"], `${lines.join("\n")}\n`);
  }
  await lab.exec(router, ["nft", "-f", "-"], rulesFor(shares));
}

function rulesFor(shares: readonly Share[]): string {
  const elements = (ip: string): string =>
    shares.map(({ host, first, last }) => `${ip} . ${first}-${last} : ${host}`).join(", ");
  // The embedded packet is one of ours: its source port follows an IPv4 header without options.
  return `table inet static {
  map owners4 {
    typeof ip daddr . th dport : mark
    flags interval
    elements = { ${elements(SHARED_IPV4)} }
  }
  map embedded4 {
    typeof ip daddr . @th,224,16 : mark
    flags interval
    elements = { ${elements(SHARED_IPV4)} }
  }
  map owners6 {
    typeof ip6 daddr . th dport : mark
    flags interval
    elements = { ${elements(SHARED_IPV6)} }
  }
  map embedded6 {
    typeof ip6 daddr . @th,384,16 : mark
    flags interval
    elements = { ${elements(SHARED_IPV6)} }
  }
  counter unowned { }
  chain prerouting {
    type filter hook prerouting priority raw; policy accept;
    ip daddr ${SHARED_IPV4} goto arrive4
    ip6 daddr ${SHARED_IPV6} goto arrive6
  }
  chain arrive4 {
    meta l4proto { tcp, udp } meta mark set ip daddr . th dport map @owners4 accept
    icmp type { destination-unreachable, time-exceeded } meta mark set ip daddr . @th,224,16 map @embedded4 accept
    counter name unowned drop
  }
  chain arrive6 {
    meta l4proto { tcp, udp } meta mark set ip6 daddr . th dport map @owners6 accept
    icmpv6 type { destination-unreachable, packet-too-big, time-exceeded } meta mark set ip6 daddr . @th,384,16 map @embedded6 accept
    counter name unowned drop
  }
}
`;
}

/**
 * The laboratory with a stand-in for a container: a machine behind a device of h1, whose packets h1
 * forwards and gives a shared address, by rules of the test's own.
 */
import type { Lab } from "./lab.ts";
import { SHARED_IPV4, SHARED_IPV6 } from "./plan.ts";
import { FORWARDING, laboratoryWiring, type Wiring } from "./wiring.ts";

export const SIZE = { hosts: 1, routers: 1 };
/** The device of h1 behind which it is. */
export const CONTAINER_DEVICE = "cont0";
/** The container's own addresses. */
export const CONTAINER = { ipv4: "10.77.0.2", ipv6: "fd77::2" } as const;
const HOST = { ipv4: "10.77.0.1", ipv6: "fd77::1" } as const;
const NAT_TABLE = "inet container_nat";

/** The drawing's network, with the role `inside` as the container. */
export function containerWiring(): Wiring {
  const drawing = laboratoryWiring(SIZE, true);
  return {
    roles: [...drawing.roles, "inside"],
    links: [...drawing.links, { a: "inside", aDevice: "eth0", b: "h1", bDevice: CONTAINER_DEVICE }],
    settingsOf: (role) => [...drawing.settingsOf(role), ...(role === "h1" ? FORWARDING : [])],
    configurationOf: (role) => {
      const drawn = drawing.configurationOf(role);
      if (role === "h1") return [...drawn, ...addressesOn(CONTAINER_DEVICE, HOST)];
      if (role !== "inside") return drawn;
      return [
        ...addressesOn("eth0", CONTAINER),
        `route add default via ${HOST.ipv4}`,
        `route add default via ${HOST.ipv6}`,
      ];
    },
  };
}

/** Has h1 translate the container's packets to ports of the shared addresses; replaces what it did before. */
export async function translateTo(lab: Lab, first: number, last: number): Promise<void> {
  const rules = ["ip", "ip6"].flatMap((family) => {
    const [net, shared, icmp] =
      family === "ip" ? ["10.77.0.0/24", SHARED_IPV4, "icmp"] : ["fd77::/64", `[${SHARED_IPV6}]`, "icmpv6"];
    const from = `add rule ${NAT_TABLE} postrouting ${family} saddr ${net} oifname "lan0"`;
    return ["tcp", "udp", icmp].map(
      (protocol) => `${from} meta l4proto ${protocol} snat ${family} to ${shared}:${first}-${last}`,
    );
  });
  const text = [
    `add table ${NAT_TABLE}`,
    `delete table ${NAT_TABLE}`,
    `add table ${NAT_TABLE}`,
    `add chain ${NAT_TABLE} postrouting { type nat hook postrouting priority srcnat; }`,
    ...rules,
  ];
  await lab.exec("h1", ["nft", "-f", "-"], `${text.join("\n")}\n`);
  await lab.exec("h1", ["conntrack", "-F"]);
}

/** Has h1 translate nothing. */
export async function translateNothing(lab: Lab): Promise<void> {
  await lab.exec("h1", ["nft", `add table ${NAT_TABLE}; delete table ${NAT_TABLE}`]);
  await lab.exec("h1", ["conntrack", "-F"]);
}

function addressesOn(device: string, { ipv4, ipv6 }: typeof HOST | typeof CONTAINER): string[] {
  return [`addr add ${ipv4}/24 dev ${device}`, `addr add ${ipv6}/64 dev ${device} nodad`];
}

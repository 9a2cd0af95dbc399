/** The laboratory as a picture, for a person who looks around in it. */
import {
  BACKBONE,
  EDGE,
  hostOnLan,
  hostOnManagement,
  hostsOf,
  type LabSize,
  ORIGINS_IPV4,
  ORIGINS_IPV6,
  type Place,
  routerOnLan,
  routerOnManagement,
  routersOf,
  SHARED_IPV4,
  SHARED_IPV6,
  uplinkOf,
} from "./plan.ts";

/** Who is where, device by device. */
export function draw(size: LabSize): string {
  const lines = [
    "internet   the origins, on lo:",
    ...ORIGINS_IPV4.map((ipv4, at) => `           ${both({ ipv4, ipv6: ORIGINS_IPV6[at]! })}`),
    `   │ eth0  ${both(BACKBONE.internet)}`,
    `   │ inet0 ${both(BACKBONE.carrier)}`,
    "carrier    spreads packets for shared addresses over the routers (ECMP by ports)",
  ];
  for (const [at, name] of routersOf(size).entries()) {
    const uplink = uplinkOf(at + 1);
    lines.push(
      `   ├─ ${name.padEnd(4)} carrier's ${name} ${both(uplink.carrier)}`,
      `   │       up0   ${both(uplink.router)}`,
      `   │       lan0  ${both(routerOnLan(at + 1))}`,
      `   │       mgmt0 ${both(routerOnManagement(at + 1))}`,
    );
  }
  lines.push("lan        a switch; hosts send out by all routers, routers steer back by port");
  for (const [at, name] of hostsOf(size).entries()) {
    lines.push(
      `   ├─ ${name.padEnd(4)} lo    ${SHARED_IPV4}  ${SHARED_IPV6}   (shared, on every host)`,
      `   │       lan0  ${both(hostOnLan(at + 1))}`,
      `   │       mgmt0 ${both(hostOnManagement(at + 1))}`,
    );
  }
  lines.push("management a switch; the only way to the edge", `   └─ edge mgmt0 ${both(EDGE)}`);
  return lines.join("\n");
}

function both({ ipv4, ipv6 }: Place): string {
  return `${ipv4.padEnd(15)} ${ipv6}`;
}

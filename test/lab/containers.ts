/**
 * Containers behind the hosts of the laboratory. Nothing in them is ours: they have addresses that no router
 * knows, and send by their host, which forwards. What the Internet sees of them is the host's business.
 */
import { behindBridge, behindVeth, hostsOf, type LabSize, type Role } from "./plan.ts";
import { addresses, EVERYWHERE, FORWARDING, type Link, type Wiring } from "./wiring.ts";

/** All of them as `--snat` names them, with what stays among them and their hosts. */
export const SENDERS =
  "source=10.88.0.0/16 172.17.0.0/16 fd00:88::/32 fd00:17::/32, direct=10.0.0.0/8 172.16.0.0/12 fd00::/8, name=pods";

/** A network whose hosts have two containers each, one behind a pair of devices and one behind a bridge. */
export function withContainers(wiring: Wiring, size: LabSize): Wiring {
  const numbers = hostsOf(size).map((_, at) => at + 1);
  return {
    roles: [...wiring.roles, ...numbers.flatMap((number): Role[] => [`c${number}`, `b${number}`])],
    links: [...wiring.links, ...numbers.flatMap(linksOf)],
    settingsOf: (role) => {
      if (isContainer(role)) return EVERYWHERE;
      return /^h\d/.test(role) ? [...wiring.settingsOf(role), ...FORWARDING] : wiring.settingsOf(role);
    },
    configurationOf: (role) => {
      const number = Number(role.slice(1));
      if (isContainer(role)) return atContainer(role, number);
      const told = wiring.configurationOf(role);
      return /^h\d/.test(role) ? [...told, ...atHost(number)] : told;
    },
  };
}

function isContainer(role: Role): boolean {
  return /^[cb]\d/.test(role);
}

function linksOf(host: number): Link[] {
  return [
    { a: `h${host}`, aDevice: "pod0", b: `c${host}`, bDevice: "eth0" },
    { a: `h${host}`, aDevice: "veth0", b: `b${host}`, bDevice: "eth0" },
  ];
}

function atHost(host: number): string[] {
  const bridge = behindBridge(host);
  return [
    ...addresses("pod0", behindVeth(host).gateway, 24, 64),
    `link add dev ${bridge.device} type bridge mcast_snooping 0`,
    `link set dev ${bridge.device} up`,
    `link set dev veth0 master ${bridge.device}`,
    ...addresses(bridge.device, bridge.gateway, 24, 64),
  ];
}

function atContainer(role: Role, host: number): string[] {
  const { container, gateway } = role.startsWith("c") ? behindVeth(host) : behindBridge(host);
  return [
    ...addresses("eth0", container, 24, 64),
    `route add default via ${gateway.ipv4}`,
    `route add ::/0 via ${gateway.ipv6}`,
  ];
}

/**
 * A container whose network is made by a plug-in that Kubernetes uses, as a container runtime calls it: by its
 * interface CNI, with the plug-ins `bridge` and `host-local`.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Lab } from "./lab.ts";
import { addNamespace, type Output, removeNamespace } from "./namespaces.ts";
import { behindPlugIn, type Role } from "./plan.ts";

/** Where distributions put them. */
const PLACES = ["/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni"];

/** What the plug-in answers: what the container has now. */
export interface Attachment {
  readonly ips: readonly { readonly address: string; readonly gateway: string }[];
}

/** What it is told, beside where it keeps its notes. */
export interface PlugInConfiguration {
  readonly type: string;
  readonly ipam: object;
}

/** The plug-in `bridge` with the networks of a host's pods, with its own masquerading or without. */
export function bridgeConfiguration(
  host: number,
  ipMasq: boolean,
): PlugInConfiguration & { ipMasq: boolean } {
  const { device, netIpv4, netIpv6 } = behindPlugIn(host);
  const frame = { cniVersion: "1.0.0", name: "pods", bridge: device, isGateway: true };
  const ranges = [[{ subnet: netIpv4 }], [{ subnet: netIpv6 }]];
  const routes = [{ dst: "0.0.0.0/0" }, { dst: "::/0" }];
  return { ...frame, type: "bridge", ipMasq, ipam: { type: "host-local", ranges, routes } };
}

/** Makes container `pN` of host `hN` and has the plug-in attach it. */
export async function attachByPlugIn(
  lab: Lab,
  host: number,
  configuration: PlugInConfiguration,
): Promise<Attachment> {
  const role: Role = `p${host}`;
  await addNamespace(lab.namespaceOf(role));
  await lab.exec(role, ["ip", "link", "set", "dev", "lo", "up"]);
  const { stdout } = await call(lab, host, "ADD", configuration);
  return JSON.parse(stdout) as Attachment;
}

/** Has the plug-in take away what it made, and removes the container. */
export async function detachByPlugIn(
  lab: Lab,
  host: number,
  configuration: PlugInConfiguration,
): Promise<void> {
  await call(lab, host, "DEL", configuration);
  removeNamespace(lab.namespaceOf(`p${host}`));
}

async function call(
  lab: Lab,
  host: number,
  command: "ADD" | "DEL",
  { ipam, ...configuration }: PlugInConfiguration,
): Promise<Output> {
  const place = placeOfPlugIns();
  const dataDir = join(lab.directory, `plug-in-${host}`);
  const environment = [
    `CNI_COMMAND=${command}`,
    `CNI_CONTAINERID=container${host}`,
    `CNI_NETNS=/var/run/netns/${lab.namespaceOf(`p${host}`)}`,
    "CNI_IFNAME=eth0",
    `CNI_PATH=${place}`,
  ];
  const told = JSON.stringify({ ...configuration, ipam: { ...ipam, dataDir } });
  return lab.exec(`h${host}`, ["env", ...environment, join(place, configuration.type)], told);
}

function placeOfPlugIns(): string {
  const place = PLACES.find((one) => existsSync(join(one, "bridge")));
  if (place === undefined) throw new Error("the plug-ins of CNI are not here (containernetworking-plugins)");
  return place;
}

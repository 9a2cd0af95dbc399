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

/** Makes container `pN` of host `hN` and has the plug-in attach it, with its own masquerading or without. */
export async function attachByPlugIn(lab: Lab, host: number, ipMasq: boolean): Promise<Attachment> {
  const role: Role = `p${host}`;
  await addNamespace(lab.namespaceOf(role));
  await lab.exec(role, ["ip", "link", "set", "dev", "lo", "up"]);
  const { stdout } = await call(lab, host, "ADD", ipMasq);
  return JSON.parse(stdout) as Attachment;
}

/** Has the plug-in take away what it made, and removes the container. */
export async function detachByPlugIn(lab: Lab, host: number, ipMasq: boolean): Promise<void> {
  await call(lab, host, "DEL", ipMasq);
  removeNamespace(lab.namespaceOf(`p${host}`));
}

async function call(lab: Lab, host: number, command: "ADD" | "DEL", ipMasq: boolean): Promise<Output> {
  const place = placeOfPlugIns();
  const { device, netIpv4, netIpv6 } = behindPlugIn(host);
  const configuration = {
    cniVersion: "1.0.0",
    name: "pods",
    type: "bridge",
    bridge: device,
    isGateway: true,
    ipMasq,
    ipam: {
      type: "host-local",
      dataDir: join(lab.directory, `plug-in-${host}`),
      ranges: [[{ subnet: netIpv4 }], [{ subnet: netIpv6 }]],
      routes: [{ dst: "0.0.0.0/0" }, { dst: "::/0" }],
    },
  };
  const environment = [
    `CNI_COMMAND=${command}`,
    `CNI_CONTAINERID=container${host}`,
    `CNI_NETNS=/var/run/netns/${lab.namespaceOf(`p${host}`)}`,
    "CNI_IFNAME=eth0",
    `CNI_PATH=${place}`,
  ];
  return lab.exec(`h${host}`, ["env", ...environment, join(place, "bridge")], JSON.stringify(configuration));
}

function placeOfPlugIns(): string {
  const place = PLACES.find((one) => existsSync(join(one, "bridge")));
  if (place === undefined) throw new Error("the plug-ins of CNI are not here (containernetworking-plugins)");
  return place;
}

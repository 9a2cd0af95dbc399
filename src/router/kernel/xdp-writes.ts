/** What the router has to write into the program's maps, as lines for bpftool, and what it finds there. */
import { randomInt } from "node:crypto";
import { rm } from "node:fs/promises";
import { familyOf } from "../../core/address-family.ts";
import type { NftSession } from "../../linux/nft-session.ts";
import { tableRemoval } from "../../linux/nftables/statements.ts";
import type { RouterConfig } from "../steering/router-config.ts";
import { handoverTable } from "../xdp/handover-rules.ts";
import { type Hop, hopBytes, numberBytes, readHop, readNumber } from "../xdp/map-layout.ts";
import type { LineWrites } from "../xdp/steering-lines.ts";
import type { XdpMaps } from "./xdp-maps.ts";

/** No device's name begins so: it has no colon. */
const UNKNOWN = ":";

/** A hop's device comes before the hop, by which it is found. */
export function hopLines(maps: XdpMaps, hops: ReadonlyMap<number, Hop | null>): string[] {
  const present = new Map(
    [...hops].flatMap(([number, hop]) => (hop === null ? [] : [[number, hop] as const])),
  );
  return [
    ...deviceLines(maps, present),
    ...[...hops].map(([number, hop]) => maps.update("hops", number, hopBytes(hop, randomInt(2 ** 32 - 1)))),
  ];
}

/** Devices of all hops. The kernel forgets one with its device, and knows only those of the network that it was told of in. */
export function deviceLines(maps: XdpMaps, hops: ReadonlyMap<number, Hop>): string[] {
  return [...hops].flatMap(([number, hop]) =>
    hop.kind === "neighbour" && !hop.device.startsWith(UNKNOWN)
      ? [maps.update("devices", number, numberBytes(hop.ifindex))]
      : [],
  );
}

/** Fine lines come before the lines that name them. [RT2] */
export function lineLines(maps: XdpMaps, { fine, addresses }: LineWrites): string[] {
  return [
    ...fine.map(({ number, line }) => maps.update("fine_lines", number, line)),
    ...[...addresses].map(([ip, line]) => {
      const map = familyOf(ip) === 4 ? "lines4" : "lines6";
      return line === null ? maps.deletion(map, ip) : maps.update(map, ip, line);
    }),
  ];
}

/** The hops that are there. A device that the router does not know any more is named by its index. */
export async function readHops(
  maps: XdpMaps,
  indexes: ReadonlyMap<string, number>,
): Promise<Map<number, Hop>> {
  const names = new Map([...indexes].map(([name, index]) => [index, name]));
  const hops = new Map<number, Hop>();
  for (const { key, value } of await maps.read("hops")) {
    const hop = readHop(value, (index) => names.get(index) ?? `${UNKNOWN}${index}`);
    if (hop !== null) hops.set(readNumber(key), hop);
  }
  return hops;
}

/** Takes the rules behind the program and all that is pinned away, if they are there. */
export async function clearHandover(
  nft: NftSession,
  config: RouterConfig,
  pinDirectory: string,
): Promise<void> {
  const name = handoverTable(config);
  const removals = (["netdev", "inet"] as const).flatMap((family) => tableRemoval(family, name));
  await nft.run(removals.join(" ; "));
  await rm(pinDirectory, { recursive: true, force: true }).catch((fault: unknown) => {
    // Where this router may not even look it has pinned nothing.
    if (!["EACCES", "EPERM"].includes((fault as NodeJS.ErrnoException).code ?? "")) throw fault;
  });
}

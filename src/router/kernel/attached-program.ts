/** The program that is at a router's devices, found by them and not by where it is pinned: for who only looks. */
import type { BpftoolSession } from "../../linux/bpftool-session.ts";
import type { RouterConfig } from "../steering/router-config.ts";
import type { ListedLink } from "./kernel-tools.ts";
import { ownPrograms } from "./xdp-attachment.ts";
import { XdpMaps } from "./xdp-maps.ts";

/** A program in the kernel, and its maps. */
export interface AttachedProgram {
  readonly id: number;
  readonly maps: XdpMaps;
  /** Of all of its maps, in the kernel. */
  readonly memoryBytes: number;
}

/** The program of a router of this table; null when there is none at any device. */
export async function attachedProgram(
  session: BpftoolSession,
  config: RouterConfig,
  links: readonly ListedLink[],
): Promise<AttachedProgram | null> {
  const [id] = await ownPrograms(session, config, links);
  if (id === undefined) return null;
  const { map_ids: ids } = (await session.list(["prog", "show", "id", String(id)])) as { map_ids: number[] };
  const shown = await Promise.all(ids.map((each) => session.list(["map", "show", "id", String(each)])));
  const maps = shown as { id: number; name: string; bytes_memlock?: number }[];
  const numbers = new Map(maps.map(({ id: number, name }) => [name, String(number)]));
  return {
    id,
    maps: new XdpMaps(session, (name) => ["id", numbers.get(name)!]),
    memoryBytes: maps.reduce((sum, { bytes_memlock: bytes = 0 }) => sum + bytes, 0),
  };
}

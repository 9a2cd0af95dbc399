/**
 * The next hops of a router that steers by XDP as neighbours that the kernel keeps proven by itself. It would else forget
 * them, or not see that one is another machine now: what is redirected does not pass by it. [RT15]
 */
import { runCommand } from "../../linux/kernel-commands.ts";
import type { Hop } from "../xdp/map-layout.ts";

interface ListedNeighbour {
  readonly dst: string;
  readonly dev: string;
  /** Present, and null, where it is so. */
  readonly managed?: null;
  readonly state?: readonly string[];
}

/** What an operator has fixed stays as it is. */
const FIXED = ["PERMANENT", "NOARP"] as const;

/** Has the kernel keep the neighbours of these hops proven, from now on. */
export async function manageNeighbours(ip: readonly string[], hops: Iterable<Hop>): Promise<void> {
  const present = await listNeighbours(ip);
  await change(ip, hops, (name, { dst, dev }) => {
    const known = present.get(name);
    if (known?.managed === null || isFixed(known)) return [];
    return [`neigh replace ${dst} dev ${dev} managed`];
  });
}

/** Has the kernel forget them; it finds them again when it needs them. */
export async function releaseNeighbours(ip: readonly string[], hops: Iterable<Hop>): Promise<void> {
  const present = await listNeighbours(ip);
  await change(ip, hops, (name, { dst, dev }) =>
    present.get(name)?.managed === null ? [`neigh del ${dst} dev ${dev}`] : [],
  );
}

async function change(
  ip: readonly string[],
  hops: Iterable<Hop>,
  linesFor: (name: string, neighbour: { readonly dst: string; readonly dev: string }) => readonly string[],
): Promise<void> {
  const lines = [...hops].flatMap((hop) => {
    if (hop.kind !== "neighbour") return [];
    return linesFor(`${hop.device} ${hop.ip}`, { dst: hop.ip, dev: hop.device });
  });
  if (lines.length > 0) await runCommand([...ip, "-batch", "-"], `${lines.join("\n")}\n`);
}

async function listNeighbours(ip: readonly string[]): Promise<Map<string, ListedNeighbour>> {
  const listed = JSON.parse(await runCommand([...ip, "-j", "neigh", "show"])) as ListedNeighbour[];
  return new Map(listed.map((neighbour) => [`${neighbour.dev} ${neighbour.dst}`, neighbour]));
}

function isFixed(neighbour: ListedNeighbour | undefined): boolean {
  return FIXED.some((state) => neighbour?.state?.includes(state));
}

/** Where the program's maps steer otherwise than the pool's table says. */
import type { Destination } from "../steering/router-config.ts";
import type { Hop } from "./map-layout.ts";
import { noUnits, type SteeringLines } from "./steering-lines.ts";
import type { WantedTable } from "./wanted-table.ts";

const UNIT_PORTS = 64;

/** Destinations of packets, such as `192.0.2.1:2048`, the first of each 64 ports that go elsewhere than they should. */
export function differencesOf(
  lines: SteeringLines,
  { blocks }: WantedTable,
  hops: ReadonlyMap<number, Hop>,
): string[] {
  const wrong: string[] = [];
  const names = new Map([...hops].map(([number, hop]) => [number, nameOf(hop)]));
  for (const ip of lines.ips) if (!blocks.has(ip)) wrong.push(ip);
  for (const [ip, own] of blocks) {
    const units = lines.unitsOf(ip);
    if (units === undefined) wrong.push(ip);
    const wanted = new Map<number, string>();
    for (const { base, order, destination } of own) {
      for (let port = base; port < base + 2 ** order; port += UNIT_PORTS)
        wanted.set(port / UNIT_PORTS, destinationName(destination));
    }
    for (const [at, number] of (units ?? noUnits()).entries()) {
      if (names.get(number) !== wanted.get(at)) wrong.push(`${ip}:${at * UNIT_PORTS}`);
    }
  }
  return wrong;
}

function nameOf(hop: Hop): string {
  return hop.kind === "stack" ? `stack ${hop.mark}` : `${hop.device} ${hop.ip}`;
}

function destinationName(destination: Destination): string {
  return destination.kind === "stack"
    ? `stack ${destination.mark}`
    : `${destination.device} ${destination.nextHop}`;
}

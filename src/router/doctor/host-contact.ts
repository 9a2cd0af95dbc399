/**
 * Whether the hosts that hold ports are there where this router sends their packets: each next
 * hop is asked again on its link, as the kernel does for the packets that it forwards.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { portCountOf } from "../../core/port-block.ts";
import type { SteeringTable } from "../../core/steering.ts";
import { type Finding, good, note, problem } from "../../process/finding.ts";
import { KernelFault, runCommand } from "../../linux/kernel-commands.ts";
import { canonicalIp, destinationOf, type RouterConfig } from "../steering/router-config.ts";
import { type Family, familyOf } from "../../core/address-family.ts";

/** Where packets for a host go, and whether it is there. */
export interface ContactFacts {
  readonly host: string;
  readonly family: Family;
  /** Of all its blocks of addresses of this family. */
  readonly portCount: number;
  readonly contact:
    | { readonly kind: "nowhere" }
    | { readonly kind: "self" }
    /** A device without next hops, such as a tunnel with one other end. */
    | { readonly kind: "device"; readonly device: string }
    | {
        readonly kind: "next-hop";
        readonly device: string;
        readonly nextHop: string;
        readonly hasAnswered: boolean;
      };
}

interface NextHop {
  readonly device: string;
  readonly nextHop: string;
}

/** The kernel gives an unanswered neighbour up after three seconds. */
const LONGEST_ANSWER_MS = 6_000;
const POLL_MS = 50;

/** Asks all hosts that hold ports, at once. */
export async function contactHosts(config: RouterConfig, table: SteeringTable): Promise<ContactFacts[]> {
  const answers = new Map<string, Promise<boolean>>();
  const ask = (hop: NextHop): Promise<boolean> => {
    const key = `${hop.device} ${hop.nextHop}`;
    const asked = answers.get(key) ?? askNeighbour(hop);
    answers.set(key, asked);
    return asked;
  };
  return Promise.all(
    [...holdersOf(table).values()].map(async ({ host, family, portCount }) => {
      const contact = contactOf(config, table, host, family);
      if (contact.kind !== "next-hop") return { host, family, portCount, contact };
      const { kind, device, nextHop } = contact;
      return { host, family, portCount, contact: { kind, device, nextHop, hasAnswered: await ask(contact) } };
    }),
  );
}

/** Who is there, and who is not, in sentences. [RT12] */
export function contactFindings(facts: readonly ContactFacts[]): Finding[] {
  if (facts.length === 0) return [note("No host holds ports now, so there is nobody to steer to.")];
  return facts.map(({ host, family, portCount, contact }) => {
    const ports = `its ${portCount} IPv${family} ports`;
    switch (contact.kind) {
      case "nowhere":
        return problem(
          `Nobody has said how to reach ${host} by IPv${family}: packets for ${ports} are dropped. ` +
            `Start its agent with --reach ADDRESS, or this router with --via ${host}=….`,
        );
      case "self":
        return good(`${host} is this machine: packets for ${ports} are delivered here.`);
      case "device":
        return note(`${host} is reached by ${contact.device}, which cannot be asked; ${ports} lead there.`);
      case "next-hop": {
        const place = `${contact.nextHop} on ${contact.device}`;
        if (contact.hasAnswered) return good(`${host} is there at ${place}, where packets for ${ports} go.`);
        return problem(
          `Nobody answers at ${place}, where packets for ${ports} of ${host} go: is the host up and on ` +
            `that link? If it is elsewhere, correct its --reach, or this router's --via.`,
        );
      }
    }
  });
}

function holdersOf({
  entries,
}: SteeringTable): Map<string, { host: string; family: Family; portCount: number }> {
  const holders = new Map<string, { host: string; family: Family; portCount: number }>();
  for (const { ip, host, order } of entries) {
    const family = familyOf(ip);
    const key = `${host} ${family}`;
    const portCount = (holders.get(key)?.portCount ?? 0) + portCountOf(order);
    holders.set(key, { host, family, portCount });
  }
  return holders;
}

function contactOf(
  config: RouterConfig,
  { nextHops }: SteeringTable,
  host: string,
  family: Family,
): ContactFacts["contact"] {
  const told = nextHops.find((one) => one.host === host) ?? null;
  const destination = destinationOf(config, host, family, told);
  if (destination === null) return { kind: "nowhere" };
  if (destination.kind === "neighbour") {
    const { device, nextHop } = destination;
    return { kind: "next-hop", device, nextHop, hasAnswered: false };
  }
  const way = config.hosts.get(host);
  if (way?.kind !== "routed") return { kind: "self" };
  const nextHop = way.nextHops.find((ip) => familyOf(ip) === family);
  if (nextHop !== undefined) {
    return { kind: "next-hop", device: way.device, nextHop: canonicalIp(nextHop), hasAnswered: false };
  }
  return way.nextHops.length > 0 ? { kind: "nowhere" } : { kind: "device", device: way.device };
}

/** A neighbour that was heard long ago is asked again at once; packets to it go on meanwhile. */
async function askNeighbour({ device, nextHop }: NextHop): Promise<boolean> {
  try {
    const known = await neighbour(device, nextHop);
    if (known.isFixed) return true;
    const how = known.isKnown
      ? ["change", nextHop, "dev", device, "nud", "probe"]
      : ["replace", nextHop, "dev", device, "use"];
    await runCommand(["ip", "neigh", ...how]);
    const endMs = performance.now() + LONGEST_ANSWER_MS;
    while (performance.now() < endMs) {
      const { states } = await neighbour(device, nextHop);
      if (states.some((state) => state === "REACHABLE")) return true;
      if (states.some((state) => state === "FAILED")) return false;
      await sleep(POLL_MS);
    }
    return false;
  } catch (fault) {
    // The device is not there, or down; that has a sentence of its own.
    if (fault instanceof KernelFault) return false;
    throw fault;
  }
}

async function neighbour(
  device: string,
  ip: string,
): Promise<{ states: readonly string[]; isKnown: boolean; isFixed: boolean }> {
  const text = await runCommand(["ip", "-j", "neigh", "show", "to", ip, "dev", device]);
  const [listed] = JSON.parse(text === "" ? "[]" : text) as { lladdr?: string; state?: string[] }[];
  const states = listed?.state ?? [];
  const isFixed = states.some((state) => state === "PERMANENT" || state === "NOARP");
  return { states, isKnown: listed?.lladdr !== undefined, isFixed };
}

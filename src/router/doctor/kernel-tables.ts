/**
 * Compares what the router has in the kernel with what the pool says should be there: tables, rules,
 * elements, routes of routed hosts. Also checks that no connections are tracked.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { SteeringTable } from "../../core/steering.ts";
import { type Finding, good, note, problem, unknown } from "../../process/finding.ts";
import { KernelFault, runCommand } from "../../linux/kernel-commands.ts";
import { NftSession } from "../../linux/nft-session.ts";
import { type UnroutedHost, unroutedHosts } from "../kernel/policy-routing.ts";
import type { RouterConfig } from "../steering/router-config.ts";
import { familyOf } from "../../core/address-family.ts";
import { ipOf } from "../rules/steering-elements.ts";
import {
  type Contents,
  contentsOf,
  type Difference,
  differenceBetween,
  ruleCommands,
  usedContainers,
} from "../rules/steering-transactions.ts";
import { dropCountsOf, snapshotOf } from "../rules/steering-snapshot.ts";
import { type Listed, parseListing } from "../../linux/nftables/listing.ts";
import type { DropCounts } from "../steering/steering-kernel.ts";
import type { TableFamily } from "../../linux/nftables/statements.ts";
import { tryRuleset } from "./ruleset-trial.ts";

/** The kernel as it was found. */
export interface KernelFacts {
  readonly table: string;
  readonly missingTables: readonly TableFamily[];
  /** Chains with fewer rules than they need, each as `netdev ingress`. */
  readonly shortChains: readonly string[];
  /** How the elements differ from the pool's table; null when that is not known. */
  readonly elements: {
    readonly wantedCount: number;
    /** Destinations of packets, such as `192.0.2.1:2048`, that are not steered as they should be. */
    readonly missing: readonly string[];
    /** Destinations that are steered to where they should not be. */
    readonly surplus: readonly string[];
  } | null;
  readonly unrouted: readonly UnroutedHost[];
  /** Connections of shared addresses that are tracked; null when nobody could tell. */
  readonly trackedCount: number | null;
  readonly drops: DropCounts;
  /** Why this kernel cannot load the rules, as nft says it; null when it can, or they are loaded. */
  readonly trialFault: string | null;
}

/** The programs that a router needs of its system, and the Debian packages that have them. */
const PACKAGES: Readonly<Record<string, string>> = { nft: "nftables", ip: "iproute2", bpftool: "bpftool" };
/** A change is on its way to a sound router for less than this in all. */
const TRIES = 4;
const BETWEEN_TRIES_MS = 1_000;
const MOST_ADDRESSES_ASKED = 16;
const FAMILIES: readonly TableFamily[] = ["netdev", "inet"];

/** Looks into the kernel; `askTable` gives the pool's table as it is at that moment, or null. */
export async function observeKernel(
  config: RouterConfig,
  askTable: () => Promise<SteeringTable | null>,
): Promise<KernelFacts> {
  let table = await askTable();
  let seen = await look(config, table);
  let lasting = seen.difference;
  for (let tries = 1; tries < TRIES && lasting !== null && sizeOf(lasting) > 0; tries += 1) {
    await sleep(BETWEEN_TRIES_MS);
    table = await askTable();
    seen = await look(config, table);
    lasting = seen.difference === null ? null : common(lasting, seen.difference);
  }
  const wantedCount = table === null ? 0 : countOf(contentsOf(config, table).contents);
  const areRulesThere = seen.missingTables.length + seen.shortChains.length === 0;
  return {
    ...seen,
    table: config.table,
    elements:
      lasting === null
        ? null
        : { wantedCount, missing: destinations(lasting.added), surplus: destinations(lasting.removed) },
    unrouted: await unroutedHosts(config, ["ip"]),
    trackedCount: await countTracked(table?.ips ?? []),
    trialFault: areRulesThere ? null : await tryRuleset(),
  };
}

/** What is wrong with it, in sentences. [RT11] */
export function kernelFindings(facts: KernelFacts): Finding[] {
  const { missingTables, shortChains, unrouted, trackedCount, trialFault } = facts;
  const findings: Finding[] = [];
  const restoring = "A running router puts them back within ten seconds; if they stay away, read its log";
  if (trialFault !== null) {
    findings.push(
      problem(`This kernel or nftables cannot carry the rules; upgrade them. The trial said: ${trialFault}`),
    );
  }
  if (missingTables.length > 0) {
    const names = missingTables.map((family) => `${family} ${facts.table}`).join(" and ");
    findings.push(
      problem(
        `The kernel has no table ${names}: nothing is steered, as when another program has flushed ` +
          `the rules (nft flush ruleset). ${restoring}.`,
      ),
    );
  }
  if (shortChains.length > 0) {
    const names = shortChains.join(", ");
    findings.push(problem(`Rules are missing in ${names} of the table ${facts.table}. ${restoring}.`));
  }
  for (const { host, family, device } of unrouted) {
    const what = `The rule or route that leads IPv${family} packets to ${host} is not in the kernel`;
    findings.push(problem(`${what}: bring ${device} up; a running router then puts them back.`));
  }
  if (trackedCount !== null && trackedCount > 0) {
    findings.push(
      problem(
        `The kernel tracks ${trackedCount} connections of shared addresses, so its table may fill up: ` +
          "see which program tracks before the priority -300 (nft list ruleset).",
      ),
    );
  }
  return [...findings, ...elementFindings(facts)];
}

/** What was dropped since the rules were made, in a sentence. */
export function dropFinding({ drops }: Pick<KernelFacts, "drops">): Finding {
  const counted = Object.entries(drops.byReason).filter(([, packets]) => packets > 0);
  if (counted.length === 0) return note("No packet for a shared address has been dropped here.");
  const list = counted.map(([reason, packets]) => `${packets} ${reason.replaceAll("_", " ")}`).join(", ");
  return note(`Packets for shared addresses dropped here since the rules were made: ${list}.`);
}

/** What it means that the kernel could not be looked into. */
export function kernelFaultFinding(fault: unknown, isPrivileged: boolean): Finding {
  if (!(fault instanceof KernelFault)) throw fault;
  const program = /^the program (\S+) is not installed/.exec(fault.message)?.[1];
  if (program !== undefined) {
    return problem(`${program} is not installed: apt-get install ${PACKAGES[program] ?? program}`);
  }
  if (isPrivileged) return unknown(`The kernel cannot be looked into: ${fault.message}.`);
  return unknown("Only root sees what the kernel steers by: sudo npx ipshard doctor router");
}

function elementFindings({ elements, missingTables }: KernelFacts): Finding[] {
  // Without the tables all of them are missing, which has been said.
  if (elements === null || missingTables.length > 0) return [];
  const { wantedCount, missing, surplus } = elements;
  const cure = "Restart the router: it repairs the difference, and no flow breaks.";
  const findings: Finding[] = [];
  if (missing.length > 0) {
    findings.push(
      problem(
        `Of ${wantedCount} elements that the pool's table makes, the kernel lacks ${missing.length}, ` +
          `such as ${missing[0]}: the router lags or was tampered with. ${cure}`,
      ),
    );
  }
  if (surplus.length > 0) {
    findings.push(
      problem(
        `The kernel has ${surplus.length} elements that the pool's table does not make, ` +
          `such as ${surplus[0]}: those packets go where they should not. ${cure}`,
      ),
    );
  }
  if (findings.length > 0) return findings;
  return [good(`The kernel has all ${wantedCount} elements that the pool's table makes.`)];
}

interface Look {
  readonly missingTables: TableFamily[];
  readonly shortChains: string[];
  readonly difference: Difference | null;
  readonly drops: DropCounts;
}

async function look(config: RouterConfig, table: SteeringTable | null): Promise<Look> {
  const session = new NftSession();
  const listings = await Promise.all(
    FAMILIES.map((family) => session.list(["list", "table", family, config.table])),
  );
  const listed = listings.flatMap((listing) => (listing === null ? [] : parseListing(listing)));
  const { contents } = snapshotOf(config, listed);
  const wanted = table === null ? null : contentsOf(config, table).contents;
  return {
    missingTables: FAMILIES.filter((_, at) => listings[at] === null),
    shortChains: listings.includes(null) ? [] : chainsShortOf(config, wanted ?? contents, listed),
    difference: wanted === null ? null : differenceBetween(contents, wanted),
    drops: dropCountsOf(listed),
  };
}

/** Rules come back from the kernel in other words than they went, so they are counted. */
function chainsShortOf(config: RouterConfig, wanted: Contents, listed: readonly Listed[]): string[] {
  const counts = new Map<string, number>();
  const count = (rule: Record<string, unknown> | undefined, by: 1 | -1): void => {
    if (rule === undefined) return;
    const chain = `${rule["family"] as string} ${rule["chain"] as string}`;
    counts.set(chain, (counts.get(chain) ?? 0) + by);
  };
  for (const command of ruleCommands(config, usedContainers(wanted))) {
    count((command["add"] as { rule?: Record<string, unknown> } | undefined)?.rule, -1);
  }
  for (const { rule } of listed) count(rule, 1);
  return [...counts].flatMap(([chain, surplus]) => (surplus < 0 ? [chain] : []));
}

async function countTracked(ips: readonly string[]): Promise<number | null> {
  let count = 0;
  for (const ip of ips.slice(0, MOST_ADDRESSES_ASKED)) {
    try {
      const listed = await runCommand(["conntrack", "-L", "-f", `ipv${familyOf(ip)}`, "-s", ip]);
      count += listed.split("\n").filter((line) => line.includes("src=")).length;
    } catch (fault) {
      // The program is not there, or a kernel that tracks nothing has no table to list.
      if (fault instanceof KernelFault) return null;
      throw fault;
    }
  }
  return count;
}

function countOf(contents: Contents): number {
  return [...contents.values()].reduce((sum, { size }) => sum + size, 0);
}

function sizeOf({ added, removed }: Difference): number {
  return countOf(added) + countOf(removed);
}

/** What is in both differences: the rest was on its way. */
function common(one: Difference, other: Difference): Difference {
  return { added: inBoth(one.added, other.added), removed: inBoth(one.removed, other.removed) };
}

function inBoth(one: Contents, other: Contents): Contents {
  const kept = [...one].map(([id, elements]) => {
    const others = other.get(id);
    const same = [...elements].filter(([key, data]) => others?.has(key) === true && others.get(key) === data);
    return [id, new Map(same)] as const;
  });
  return new Map(kept);
}

/** Elements as people read them: an address, and the first port where there is one. */
function destinations(contents: Contents): string[] {
  return [...contents.values()].flatMap((elements) =>
    [...elements.keys()].map((key) => {
      const [address, port] = key.split(" ") as [string, string?];
      // A reason to drop is a small number and no address.
      if (!address.startsWith("0x") && Number(address) < 256) return `counter ${address}`;
      return port === undefined || port === address ? ipOf(address) : `${ipOf(address)}:${port}`;
    }),
  );
}

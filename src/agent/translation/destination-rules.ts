/**
 * The policy of a pool for what the kernel translates: networks and ports. What lists say of names cannot be judged
 * in the kernel, which sees addresses alone: a denial by name denies nothing here, and a name that is allowed opens
 * nothing. [SN9]
 */
import type { DestinationRules, PoolPolicy } from "../../core/pool-policy.ts";
import {
  type DestinationEntry,
  parseDestinationEntry,
  type PortRange,
} from "../../policy/destination-entry.ts";
import {
  CLOUD_SERVICES,
  parseRange,
  type Range,
  SPECIAL_IPV4,
  SPECIAL_IPV6,
  THIS_MACHINE,
} from "../../policy/special-ranges.ts";
import { anyOf } from "./sender-match.ts";

/** What the host's operator says beyond the defaults, in CIDR form. */
export interface HostRanges {
  readonly allowed: readonly string[];
  readonly denied: readonly string[];
}

/** Where refused packets go. */
export const REFUSE = "goto refuse_destination";
/** Of IPv6 only this is unicast and global. 6to4 carries IPv4 addresses that cannot be judged here. */
const BEYOND_GLOBAL_IPV6 = ["::/3", "4000::/2", "8000::/1", "2002::/16"];
const ANY_NETWORKS = { ip: "0.0.0.0/0", ip6: "::/0" } as const;

type FamilyName = keyof typeof ANY_NETWORKS;

/** Rules of the chain that refuses special addresses. The longest range of the operator decides, a denial among equals. */
export function specialRules({ allowed, denied }: HostRanges, policy: PoolPolicy | null): string[] {
  const ruled = [
    ...denied.map((text) => ({ range: parseRange(text), verdict: REFUSE })),
    ...allowed.map((text) => ({ range: parseRange(text), verdict: "return" })),
  ].toSorted((one, other) => other.range[1] - one.range[1]);
  const opened = (policy?.special ?? []).map(parseRange);
  const special = [
    ...SPECIAL_IPV4,
    ...SPECIAL_IPV6,
    ...BEYOND_GLOBAL_IPV6.map(parseRange),
    ...CLOUD_SERVICES.map(([range]) => range),
  ];
  return [
    ...ruled.map(({ range, verdict }) => `${familyOf(range)} daddr ${written(range)} ${verdict}`),
    ...onEach(THIS_MACHINE, REFUSE),
    ...onEach(opened, "return"),
    ...onEach(special, REFUSE),
  ];
}

/** Rules of the chain of one sender's lists: those of the pool, then its own. Null for a tenant that the pool does not serve. */
export function listRules(policy: PoolPolicy, tenant: string): readonly (readonly string[])[] {
  const own = policy.tenants[tenant] ?? policy.anyTenant;
  if (own === null) return [[REFUSE]];
  return [...rulesOf(policy.destinations), ...rulesOf(own.destinations)];
}

/** One group of rules for each list that says something; a group ends by itself where the list lets a packet pass. */
function rulesOf({ mode, deny, allow }: DestinationRules): string[][] {
  if (mode === "open") return [];
  const verdict = mode === "enforce" ? REFUSE : "counter name reported";
  const groups: string[][] = [];
  if (deny.length > 0) groups.push(entriesOf(deny, "any").flatMap((entry) => entryRules(entry, verdict)));
  if (allow.length > 0) {
    const passes = entriesOf(allow, "none").flatMap((entry) => entryRules(entry, "return"));
    groups.push([...passes, verdict]);
  }
  return groups;
}

interface AddressEntry {
  readonly networks: Readonly<Partial<Record<FamilyName, string>>>;
  readonly ports: PortRange | null;
}

/** What is no entry denies everything on a list of denials, and opens nothing on the other kind. */
function entriesOf(texts: readonly string[], unreadable: "any" | "none"): AddressEntry[] {
  return texts.flatMap((text): AddressEntry[] => {
    const read = parseDestinationEntry(text);
    if (read.ok) return addressEntry(read.value);
    return unreadable === "any" ? [{ networks: ANY_NETWORKS, ports: null }] : [];
  });
}

function addressEntry({ host, ports }: DestinationEntry): AddressEntry[] {
  if (host.kind === "any") return [{ networks: ANY_NETWORKS, ports }];
  if (host.kind !== "network") return [];
  return [{ networks: { [familyOf(host.range)]: written(host.range) }, ports }];
}

/** What has no ports, such as an echo, is on an entry only if that is of all ports. */
function entryRules({ networks, ports }: AddressEntry, verdict: string): string[] {
  const onPorts = ports === null ? "" : ` meta l4proto { tcp, udp } th dport ${ports.first}-${ports.last}`;
  return Object.entries(networks).map(
    ([family, network]) => `${family} daddr ${network}${onPorts} ${verdict}`,
  );
}

function onEach(ranges: readonly Range[], verdict: string): string[] {
  return (["ip", "ip6"] as const).flatMap((family) => {
    const own = ranges.filter((range) => familyOf(range) === family).map(written);
    return own.length === 0 ? [] : [`${family} daddr ${anyOf(own)} ${verdict}`];
  });
}

function familyOf([network]: Range): FamilyName {
  return network.kind() === "ipv4" ? "ip" : "ip6";
}

function written([network, bits]: Range): string {
  return `${network.toString()}/${bits}`;
}

/**
 * What is wrong with a machine that is to share addresses, in sentences that say what to do.
 * Looks only; changes nothing. [HS3]
 */
import { FIRST_LEASABLE_PORT } from "../../core/port-block.ts";
import { type Finding, note, problem } from "../../process/finding.ts";
import { needsGuard } from "./guard.ts";
import { ARP_SETTINGS, isGood } from "./host-setup.ts";
import { readSetting, runCommand } from "../../linux/kernel-commands.ts";
import { defaultRouteDevices, type MachineAddress, machineAddresses } from "./machine-addresses.ts";

/**
 * Examines this machine for these shared addresses; nothing is found on a good one but notes. Where it translates for
 * others, `senderDevices` are those by which they come; null where it does not.
 */
export async function examineHost(
  ips: readonly string[],
  senderDevices: readonly string[] | null = null,
): Promise<Finding[]> {
  const shared = ips.filter(needsGuard);
  if (shared.length === 0) return [];
  const present = await machineAddresses();
  const findings = shared.flatMap((ip) => examineAddress(ip, present));
  for (const family of [4, 6] as const) {
    const ofFamily = shared.filter((ip) => ip.includes(":") === (family === 6));
    if (ofFamily.length === 0) continue;
    findings.push(...(await examineRoutes(family, ofFamily)), ...(await examineBinding(family)));
    if (family === 4)
      findings.push(...(await examineArp()), ...(await examinePathFilter(senderDevices ?? [])));
  }
  findings.push(...(await examinePorts()));
  if (senderDevices === null) findings.push(...(await examineForwarding()));
  return findings;
}

function examineAddress(ip: string, present: readonly MachineAddress[]): Finding[] {
  const places = present.filter((address) => address.ip === ip);
  if (places.length === 0) {
    return [problem(`${ip} is not on this machine: run the agent as root, or add it to the device lo.`)];
  }
  return places.flatMap(({ device, scope, isDeprecated }) => {
    if (device !== "lo") {
      return [problem(`${ip} is on ${device}, so this machine answers for it there: move it to lo.`)];
    }
    if (scope === "host" || isDeprecated) return [];
    const manner = ip.includes(":") ? "preferred_lft 0" : "scope host";
    return [note(`The kernel may choose ${ip} by itself: add it to lo with \`${manner}\`.`)];
  });
}

async function examineRoutes(family: 4 | 6, ips: readonly string[]): Promise<Finding[]> {
  if ((await defaultRouteDevices(family)).length > 0) return [];
  return [
    problem(
      `There is no default route for IPv${family}, so nothing leaves from ${ips.join(", ")}: add one (ip -${family} route add default via …).`,
    ),
  ];
}

async function examineBinding(family: 4 | 6): Promise<Finding[]> {
  const name = `net/ipv${family}/ip_nonlocal_bind`;
  if ((await readSetting(name)) !== "1") return [];
  return [problem(`${dotted(name)} is 1, so an address that is missing goes unnoticed: set it to 0.`)];
}

async function examineArp(): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const { name, wanted, alsoGood } of ARP_SETTINGS) {
    const value = await readSetting(name);
    if (value === null || isGood(value, wanted, alsoGood)) continue;
    findings.push(
      problem(`${dotted(name)} is ${value}, so shared addresses show on links: set it to ${wanted}.`),
    );
  }
  return findings;
}

/** A strict filter takes only what comes from where the answer would go. Of senders that is so, and no router is there. */
async function examinePathFilter(senderDevices: readonly string[]): Promise<Finding[]> {
  const all = Number((await readSetting("net/ipv4/conf/all/rp_filter")) ?? "0");
  const leading = await defaultRouteDevices(4);
  const links = JSON.parse(await runCommand(["ip", "-j", "link", "show", "up"])) as { ifname: string }[];
  const findings: Finding[] = [];
  for (const { ifname } of links) {
    if (ifname === "lo" || leading.includes(ifname) || senderDevices.includes(ifname)) continue;
    const own = Number((await readSetting(`net/ipv4/conf/${ifname}/rp_filter`)) ?? "0");
    // The larger of the two counts.
    if (Math.max(all, own) !== 1) continue;
    findings.push(
      note(
        `net.ipv4.conf.${ifname}.rp_filter is strict and the default route leads elsewhere: ` +
          `replies that a router delivers on ${ifname} are dropped. Set it to 2.`,
      ),
    );
  }
  return findings;
}

async function examinePorts(): Promise<Finding[]> {
  const range = await readSetting("net/ipv4/ip_local_port_range");
  const [first, last] = (range ?? "").split(/\s+/).map(Number);
  if (first === undefined || last === undefined || last < FIRST_LEASABLE_PORT) return [];
  return [
    note(
      `Programs of this machine are given ports from ${first} to ${last} ` +
        "(net.ipv4.ip_local_port_range); a leased port that one of them has on all addresses is passed over.",
    ),
  ];
}

async function examineForwarding(): Promise<Finding[]> {
  const names = ["net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"];
  const values = await Promise.all(names.map(readSetting));
  const on = names.filter((_, at) => values[at] === "1").map(dotted);
  if (on.length === 0) return [];
  return [
    note(
      `This machine forwards packets (${on.join(", ")}), which only a router needs, or a host that translates (--snat).`,
    ),
  ];
}

/** A setting as `sysctl` writes it. */
function dotted(name: string): string {
  return name.replaceAll("/", ".");
}

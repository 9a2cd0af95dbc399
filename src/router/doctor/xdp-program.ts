/**
 * Compares what a router that steers by XDP has in the kernel with what the pool says: the program at its devices, the lines
 * of its addresses, the rules behind it, and what makes it slower than it could be. [RT11] [RT15]
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { SteeringTable } from "../../core/steering.ts";
import { BpftoolSession } from "../../linux/bpftool-session.ts";
import { readSetting } from "../../linux/kernel-commands.ts";
import { NftSession } from "../../linux/nft-session.ts";
import type { TableFamily } from "../../linux/nftables/statements.ts";
import { type Finding, good, note, problem } from "../../process/finding.ts";
import { attachedProgram } from "../kernel/attached-program.ts";
import {
  type KernelCommands,
  type ListedLink,
  listLinks,
  neighbourDevices,
  PLAIN_COMMANDS,
} from "../kernel/kernel-tools.ts";
import { type AttachmentMode, attachmentPlaces, modeAt, strangerAt } from "../kernel/xdp-attachment.ts";
import { readDropCounts } from "../kernel/xdp-counts.ts";
import { readHops } from "../kernel/xdp-writes.ts";
import type { RouterConfig } from "../steering/router-config.ts";
import type { DropCounts } from "../steering/steering-kernel.ts";
import { handoverTable } from "../xdp/handover-rules.ts";
import type { Hop } from "../xdp/map-layout.ts";
import { differencesOf } from "../xdp/line-differences.ts";
import { SteeringLines } from "../xdp/steering-lines.ts";
import { wantedTable } from "../xdp/wanted-table.ts";

/** The program as it was found. */
export interface XdpFacts {
  /** By the device by which packets come in; null where the program is not. */
  readonly modes: ReadonlyMap<string, AttachmentMode | null>;
  /** Programs of others at these devices, by device. */
  readonly strangers: ReadonlyMap<string, string>;
  readonly missingTables: readonly TableFamily[];
  /** Devices on which hosts are neighbours, to which nft forwards. */
  readonly handedTo: readonly string[];
  /** Devices on which this machine does not forward IPv4, so that the program learns no neighbour there. */
  readonly unforwarded: readonly string[];
  /** Destinations such as `192.0.2.1:2048` that are not steered as the pool says; null when that is not known. */
  readonly wrong: readonly string[] | null;
  readonly addressCount: number;
  readonly memoryBytes: number;
  readonly drops: DropCounts;
}

const FAMILIES: readonly TableFamily[] = ["netdev", "inet"];
/** A change is on its way to a sound router for less than this in all. */
const TRIES = 4;
const BETWEEN_TRIES_MS = 1_000;
const RESTORING = "A running router puts it back within two seconds; if it stays away, read its log";

/** Looks at it; null when no program of this router is at any device. `askTable` gives the pool's table, or null. */
export async function observeXdp(
  config: RouterConfig,
  askTable: () => Promise<SteeringTable | null>,
  commands: KernelCommands = PLAIN_COMMANDS,
): Promise<XdpFacts | null> {
  const session = new BpftoolSession(commands.bpftool);
  const links = await listLinks(commands.ip);
  const found = await attachedProgram(session, config, links);
  if (found === null) return null;
  const own = new Set([found.id]);
  const places = attachmentPlaces(config, links);
  const nft = new NftSession(commands.nft);
  const name = handoverTable(config);
  const tables = await Promise.all(FAMILIES.map((family) => nft.list(["-t", "list", "table", family, name])));
  const indexes = new Map(links.map(({ ifname, ifindex }) => [ifname, ifindex]));
  const look = async () => {
    const fine = await found.maps.readFineLines();
    return {
      lines: new SteeringLines(await found.maps.readLines(), (number) => fine.get(number), 0),
      hops: await readHops(found.maps, indexes),
    };
  };
  const { hops } = await look();
  const handedTo = [...hops.values()].flatMap((hop) =>
    hop.kind === "neighbour" && !hop.isRedirected ? [hop.device] : [],
  );
  const seen = await lastingDifference(config, look, askTable);
  return {
    modes: new Map(places.map((link) => [link.ifname, modeAt(link, own)])),
    strangers: new Map(
      places.flatMap((link) => {
        const stranger = strangerAt(link, own);
        return stranger === null ? [] : [[link.ifname, stranger]];
      }),
    ),
    missingTables: FAMILIES.filter((_, at) => tables[at] === null),
    handedTo: [...new Set(handedTo)],
    unforwarded: await unforwardedOf(config),
    ...seen,
    memoryBytes: found.memoryBytes,
    drops: await readDropCounts(found.maps, [], null),
  };
}

/** What is in the way of a program that is to steer and is at no device. */
export function absenceFindings(config: RouterConfig, links: readonly ListedLink[]): Finding[] {
  const strangers = attachmentPlaces(config, links).flatMap((link) => {
    const stranger = strangerAt(link, new Set());
    return stranger === null ? [] : [strangerFinding(link.ifname, stranger)];
  });
  if (strangers.length > 0) return strangers;
  return [problem(`No program steers at any device, as --steering xdp wants it. ${RESTORING}.`)];
}

/** What is wrong with it, or slows it down, in sentences. */
export function xdpFindings(facts: XdpFacts): Finding[] {
  const findings: Finding[] = [];
  for (const [device, mode] of facts.modes) {
    const stranger = facts.strangers.get(device);
    if (stranger !== undefined) {
      findings.push(strangerFinding(device, stranger));
    } else if (mode === null) {
      findings.push(
        problem(`The program is not at ${device}, so what comes in there is not steered. ${RESTORING}.`),
      );
    } else if (mode === "generic" && device !== "lo") {
      findings.push(
        note(
          `The driver of ${device} runs no XDP program, so the kernel runs it, later: --steering nft is as fast.`,
        ),
      );
    } else {
      findings.push(good(`The program steers at ${device}${mode === "driver" ? ", in the driver" : ""}.`));
    }
  }
  if (facts.missingTables.length > 0) {
    const names = facts.missingTables.join(" and ");
    findings.push(problem(`The rules behind the program are gone (${names}). ${RESTORING}.`));
  }
  for (const device of facts.handedTo) {
    findings.push(
      note(
        `The kernel cannot redirect frames to ${device}, so nft forwards them, at a cost: a virtual cable (veth) ` +
          "needs GRO or a program at its other end (ethtool -K DEVICE gro on), other drivers a program at their own.",
      ),
    );
  }
  for (const device of facts.unforwarded) {
    findings.push(
      note(
        `IPv4 is not forwarded on ${device}, so the program learns no neighbours there and nft forwards, at a ` +
          `cost: sysctl -w net.ipv4.conf.${device}.forwarding=1`,
      ),
    );
  }
  const megabytes = (facts.memoryBytes / 2 ** 20).toFixed(1);
  findings.push(note(`The program's maps take ${megabytes} MB of the kernel's memory.`));
  return [...findings, ...lineFindings(facts)];
}

function strangerFinding(device: string, stranger: string): Finding {
  const cure = `take it off (ip link set dev ${device} xdp off), or give --steering nft`;
  return problem(
    `${device} has the XDP program ${stranger} of somebody else, and can have one only: ${cure}.`,
  );
}

function lineFindings({ wrong, addressCount }: XdpFacts): Finding[] {
  if (wrong === null) return [];
  if (wrong.length === 0)
    return [good(`The program steers all ${addressCount} addresses as the pool's table says.`)];
  return [
    problem(
      `Of the ports of ${addressCount} addresses ${wrong.length} parts are not steered as the pool's table says, ` +
        `such as ${wrong[0]}: the router lags or was tampered with. Restart it: it repairs the difference.`,
    ),
  ];
}

/** What is wrong for longer than a change takes to come here. */
async function lastingDifference(
  config: RouterConfig,
  look: () => Promise<{ readonly lines: SteeringLines; readonly hops: ReadonlyMap<number, Hop> }>,
  askTable: () => Promise<SteeringTable | null>,
): Promise<Pick<XdpFacts, "wrong" | "addressCount">> {
  let lasting: readonly string[] | null = null;
  for (let tries = 1; ; tries += 1) {
    const table = await askTable();
    if (table === null) return { wrong: null, addressCount: 0 };
    const { lines, hops } = await look();
    const before: ReadonlySet<string> | null = lasting === null ? null : new Set(lasting);
    const wrong = differencesOf(lines, wantedTable(config, table), hops);
    lasting = before === null ? wrong : wrong.filter((each) => before.has(each));
    if (lasting.length === 0 || tries === TRIES) return { wrong: lasting, addressCount: table.ips.length };
    await sleep(BETWEEN_TRIES_MS);
  }
}

async function unforwardedOf(config: RouterConfig): Promise<string[]> {
  const settings = await Promise.all(
    neighbourDevices(config).map(async (device) => ({
      device,
      value: await readSetting(`net/ipv4/conf/${device}/forwarding`),
    })),
  );
  return settings.flatMap(({ device, value }) => (value === "0" ? [device] : []));
}

/**
 * The Linux kernel as a kernel that steers by a program at its devices, before it makes a packet buffer. [RT15]
 *
 * Program and maps stay when this process ends. A router that starts takes them over and writes the difference. A few
 * rules of nft stand behind the program and carry out what it decides and cannot do (`xdp/handover-rules.ts`).
 */
import type { SteeringTable } from "../../core/steering.ts";
import { BpftoolSession } from "../../linux/bpftool-session.ts";
import { KernelFault } from "../../linux/kernel-commands.ts";
import { NftSession } from "../../linux/nft-session.ts";
import { ruleProbe, transactionText } from "../../linux/nftables/statements.ts";
import { ABSENT_COUNTER, baseChains, ingressDevicesOf } from "../rules/steering-declarations.ts";
import { BURST_SECONDS } from "../rules/steering-rules.ts";
import {
  configProblems,
  type Destination,
  destinationOf,
  firstMarkOf,
  isHostItself,
  type RouterConfig,
} from "../steering/router-config.ts";
import type {
  DropCounts,
  PlacedEntry,
  RepairReport,
  SteeringDelta,
  SteeringKernel,
} from "../steering/steering-kernel.ts";
import {
  addressCommands,
  handoverCommands,
  handoverDeclaration,
  handoverTable,
  hopCommands,
} from "../xdp/handover-rules.ts";
import { KernelCapacityFault } from "../xdp/kernel-capacity-fault.ts";
import { HopNumbers } from "../xdp/hop-numbers.ts";
import { settingsBytes, type WantedHop } from "../xdp/map-layout.ts";
import { SteeringLines } from "../xdp/steering-lines.ts";
import { fineLinesFor, replaceAll, type WantedTable, wantedTable } from "../xdp/wanted-table.ts";
import { familyOf } from "../../core/address-family.ts";
import {
  expectDevices,
  type KernelCommands,
  linkOf,
  type ListedLink,
  listLinks,
  neighbourDevices,
  PLAIN_COMMANDS,
} from "./kernel-tools.ts";
import { areHostsRouted, routeHosts, unrouteFormerHosts, unrouteHosts } from "./policy-routing.ts";
import { programObjects } from "./program-objects.ts";
import { attachedProgram } from "./attached-program.ts";
import { manageNeighbours, releaseNeighbours } from "./managed-neighbours.ts";
import { DeviceReport } from "./device-report.ts";
import { attach, attachmentPlaces, detach, isSteering, modeAt, ownPrograms } from "./xdp-attachment.ts";
import { readDropCounts } from "./xdp-counts.ts";
import { findProgram, loadProgram, type PinnedProgram, removeOthers } from "./xdp-pins.ts";
import { clearHandover, deviceLines, hopLines, lineLines, readHops } from "./xdp-writes.ts";

/** What an XDP router is given. */
export interface XdpKernelOptions {
  readonly config: RouterConfig;
  readonly commands?: KernelCommands;
  /** Where program and maps are pinned. */
  readonly pinDirectory: string;
  /** Nothing but the fast way will do: the program in the driver, and devices to which the kernel redirects. */
  readonly isStrict: boolean;
  /** Told what makes it slower than it could be, once each. */
  readonly onSlow?: (sentence: string) => void;
}

/** So many blocks of less than 2,048 ports may come before the maps are made anew, larger. */
const SPARE_FINE_LINES = 512;
const FINE_LINES_STEP = 1024;

/** All that is known of the kernel once it was repaired. */
interface Standing {
  readonly program: PinnedProgram;
  readonly report: DeviceReport;
  readonly lines: SteeringLines;
  readonly hops: HopNumbers;
  /** Neighbours' devices by the names that the configuration has. */
  readonly indexes: ReadonlyMap<string, number>;
}

/** The Linux kernel, through `bpftool`, `nft` and `ip`. */
export class XdpKernel implements SteeringKernel {
  readonly #options: XdpKernelOptions;
  readonly #commands: KernelCommands;
  readonly #bpftool: BpftoolSession;
  readonly #nft: NftSession;
  readonly #told = new Set<string>();
  #standing: Standing | null = null;

  constructor(options: XdpKernelOptions) {
    const problems = configProblems(options.config);
    if (problems.length > 0) throw new KernelFault("configuration-wrong", problems.join(" "));
    this.#options = options;
    this.#commands = options.commands ?? PLAIN_COMMANDS;
    this.#bpftool = new BpftoolSession(this.#commands.bpftool);
    this.#nft = new NftSession(this.#commands.nft);
  }

  async repair(table: SteeringTable): Promise<RepairReport> {
    const { config } = this.#options;
    this.#standing = null;
    const links = await expectDevices(config, this.#commands.ip);
    expectEthernet(config, links);
    await routeHosts(config, this.#commands.ip);
    const wanted = wantedTable(config, table);
    const objects = await programObjects();
    const indexes = indexesOf(config, links);
    // First, since it is soon seen and decides whether the rest is worth it.
    const report = await this.#pinReport(objects.devices);
    const redirectable = await report.redirectable(indexes);
    // Some drivers take redirected frames when a program is at the device, as there soon will be at these.
    const mayCome = new Set([...redirectable, ...config.ingressDevices]);
    this.#expectRedirectable(mayCome, indexes);
    const program = await this.#programFor(objects.steer, fineLinesFor(wanted));
    const { maps, fineCapacity } = program;
    const [presentHops, present, fine] = await Promise.all([
      readHops(maps, indexes),
      maps.readLines(),
      maps.readFineLines(),
    ]);
    const standing = {
      program,
      report,
      lines: new SteeringLines(present, (number) => fine.get(number), fineCapacity),
      hops: new HopNumbers(presentHops, redirectable),
      indexes,
    };
    const counts = await this.#writeAll(standing, wanted, redirectable).catch((fault: unknown) => {
      throw asKernelFault(fault);
    });
    await this.#attachAll(standing, links);
    this.#expectRedirectable(await this.#followDevices(standing), indexes);
    await manageNeighbours(this.#commands.ip, standing.hops.hops.values());
    await removeOthers(program);
    await unrouteFormerHosts(config, this.#commands.ip);
    this.#standing = standing;
    return { ...counts, unreachable: wanted.unreachable };
  }

  async apply(delta: SteeringDelta): Promise<void> {
    const standing = this.#standing;
    if (standing === null) throw new Error("a kernel that was never repaired cannot apply a change");
    try {
      await this.#writeChange(standing, delta);
    } catch (fault) {
      // What the kernel has is not known any more.
      this.#standing = null;
      throw asKernelFault(fault);
    }
  }

  async #writeChange(standing: Standing, delta: SteeringDelta): Promise<void> {
    const { lines, hops } = standing;
    const { maps } = standing.program;
    const numberOf = (placed: PlacedEntry): number => this.#numberOf(placed, standing);
    for (const { entry } of delta.removed) lines.put(entry.ip, entry, 0);
    for (const placed of delta.added) lines.put(placed.entry.ip, placed.entry, numberOf(placed));
    for (const ip of delta.removedIps) lines.removeIp(ip);
    for (const ip of delta.addedIps) lines.addIp(ip);
    const changed = hops.takeWrites();
    const { config } = this.#options;
    const commands = [...hopCommands(config, changed), ...addressCommands(config, "add", delta.addedIps)];
    if (commands.length > 0) await this.#nft.run(transactionText(commands));
    await maps.write([...hopLines(maps, changed), ...lineLines(maps, lines.takeWrites())]);
    if (changed.size > 0) await manageNeighbours(this.#commands.ip, hops.hops.values());
    const gone = addressCommands(config, "delete", delta.removedIps);
    if (gone.length > 0) await this.#nft.run(transactionText(gone));
  }

  async isInForce(areRoutesIncluded = true): Promise<boolean> {
    const { config } = this.#options;
    const standing = this.#standing;
    const links = await listLinks(this.#commands.ip);
    const places = attachmentPlaces(config, links);
    const own = standing === null ? null : new Set([standing.program.id]);
    if (!places.every((link) => (own === null ? isSteering(link) : modeAt(link, own) !== null))) return false;
    if (places.length < ingressDevicesOf(config).length) return false;
    if (standing !== null && !areSame(indexesOf(config, links), standing.indexes)) return false;
    const probes = baseChains(config).map((base) =>
      ruleProbe(base.table, handoverTable(config), base.chain["name"] as string, 0),
    );
    if (!(await this.#nft.isPossible(probes.join(" ; ")))) return false;
    if (standing !== null) await this.#followDevices(standing);
    if (!areRoutesIncluded) return true;
    // Those of a device go with it when it goes down.
    if (standing !== null) await manageNeighbours(this.#commands.ip, standing.hops.hops.values());
    return areHostsRouted(config, this.#commands.ip);
  }

  async counts(): Promise<DropCounts> {
    const standing = this.#standing;
    const { config } = this.#options;
    const listed = isHostItself(config)
      ? await this.#nft.list(["list", "counter", "inet", handoverTable(config), ABSENT_COUNTER])
      : null;
    return readDropCounts(standing?.program.maps ?? null, standing?.lines.ips ?? [], listed);
  }

  async remove(): Promise<void> {
    await this.withdraw();
    await unrouteHosts(this.#options.config, this.#commands.ip);
  }

  /** Takes the program, its maps and the rules behind it out of the kernel; routes stay. */
  async withdraw(): Promise<void> {
    const { config, pinDirectory } = this.#options;
    this.#standing = null;
    const links = await listLinks(this.#commands.ip);
    const own = await ownPrograms(this.#bpftool, config, links);
    const found = await attachedProgram(this.#bpftool, config, links);
    const hops = found === null ? new Map() : await readHops(found.maps, indexesOf(config, links));
    for (const link of links) await detach(this.#commands.ip, own, link);
    await releaseNeighbours(this.#commands.ip, hops.values());
    await clearHandover(this.#nft, config, pinDirectory);
  }

  async close(): Promise<void> {
    await this.#bpftool.close();
    await this.#nft.close();
  }

  #pinReport(object: string): Promise<DeviceReport> {
    const { pinDirectory: directory } = this.#options;
    return DeviceReport.pin(this.#bpftool, { directory, object, cat: this.#commands.cat });
  }

  /** What is there, if it is large enough; else new ones, with room to grow. */
  async #programFor(object: string, fineLineCount: number): Promise<PinnedProgram> {
    const { pinDirectory } = this.#options;
    const found = await findProgram(this.#bpftool, pinDirectory, object, fineLineCount + SPARE_FINE_LINES);
    const capacity = FINE_LINES_STEP * Math.ceil((1.25 * fineLineCount + SPARE_FINE_LINES) / FINE_LINES_STEP);
    return found ?? loadProgram(this.#bpftool, pinDirectory, object, capacity);
  }

  /** Hops and the rules for them first, then the lines that lead to them; what nothing leads to any more goes last. */
  async #writeAll(
    { program: { maps }, lines, hops, indexes }: Standing,
    wanted: WantedTable,
    redirectable: ReadonlySet<string>,
  ): Promise<Pick<RepairReport, "removedCount" | "addedCount">> {
    const { config } = this.#options;
    const counts = replaceAll(lines, wanted, (destination) => hops.numberOf(hopOf(destination, indexes)));
    hops.setRedirectable(redirectable);
    await this.#nft.run(handoverDeclaration(config));
    await this.#nft.run(transactionText(handoverCommands(config, hops.hops, lines.ips)));
    const limits = settingsBytes(config.icmpErrorsPerSecond, BURST_SECONDS, firstMarkOf(config));
    await maps.write([
      maps.update("settings", 0, limits),
      ...deviceLines(maps, hops.hops),
      ...hopLines(maps, hops.takeWrites()),
    ]);
    await maps.write(lineLines(maps, lines.takeWrites()));
    hops.keepOnly(lines.hopsInUse());
    await maps.write(hopLines(maps, hops.takeWrites()));
    return counts;
  }

  /** Whether a device takes redirected frames may change at any time: with its other end, or with a program at it. */
  async #followDevices({ program, report, hops, indexes }: Standing): Promise<ReadonlySet<string>> {
    const redirectable = await report.redirectable(indexes);
    hops.setRedirectable(redirectable);
    await program.maps.write(hopLines(program.maps, hops.takeWrites()));
    return redirectable;
  }

  #expectRedirectable(able: ReadonlySet<string>, indexes: ReadonlyMap<string, number>): void {
    for (const name of indexes.keys()) {
      if (able.has(name)) continue;
      this.#slow(`the kernel cannot redirect frames to ${name}: nft forwards what goes there, at a cost`);
    }
  }

  async #attachAll({ program }: Standing, links: readonly ListedLink[]): Promise<void> {
    const { config } = this.#options;
    const own = await ownPrograms(this.#bpftool, config, links);
    const places = attachmentPlaces(config, links);
    for (const link of places) {
      const mode = await attach(this.#bpftool, { words: program.program, id: program.id }, own, link);
      if (mode === "generic" && link.ifname !== "lo") {
        this.#slow(`the driver of ${link.ifname} runs no XDP program: the kernel runs it, at a cost`);
      }
    }
    // Of an earlier configuration.
    for (const link of links) if (!places.includes(link)) await detach(this.#commands.ip, own, link);
  }

  #slow(sentence: string): void {
    if (this.#options.isStrict) throw new KernelFault("xdp-unavailable", sentence);
    if (this.#told.has(sentence)) return;
    this.#told.add(sentence);
    this.#options.onSlow?.(sentence);
  }

  #numberOf({ entry, nextHop }: PlacedEntry, { hops, indexes }: Standing): number {
    const destination = destinationOf(this.#options.config, entry.host, familyOf(entry.ip), nextHop);
    return destination === null ? 0 : hops.numberOf(hopOf(destination, indexes));
  }
}

function hopOf(destination: Destination, indexes: ReadonlyMap<string, number>): WantedHop {
  if (destination.kind === "stack") return destination;
  const { device, nextHop } = destination;
  return { kind: "neighbour", family: familyOf(nextHop), device, ifindex: indexes.get(device)!, ip: nextHop };
}

function asKernelFault(fault: unknown): unknown {
  if (!(fault instanceof KernelCapacityFault)) return fault;
  return new KernelFault("xdp-unavailable", fault.message, fault);
}

function indexesOf(config: RouterConfig, links: readonly ListedLink[]): Map<string, number> {
  return new Map(
    neighbourDevices(config).flatMap((name) => {
      const link = linkOf(links, name);
      return link === undefined ? [] : [[name, link.ifindex]];
    }),
  );
}

function areSame(one: ReadonlyMap<string, number>, other: ReadonlyMap<string, number>): boolean {
  return one.size === other.size && [...one].every(([name, index]) => other.get(name) === index);
}

/** The program reads and writes heads of Ethernet. */
function expectEthernet(config: RouterConfig, links: readonly ListedLink[]): void {
  for (const name of [...config.ingressDevices, ...neighbourDevices(config)]) {
    const type = linkOf(links, name)?.link_type;
    if (type === "ether" || type === "loopback") continue;
    throw new KernelFault("xdp-unavailable", `${name} is no Ethernet (${type})`);
  }
}

/**
 * The Linux kernel as a kernel that steers, by rules of nftables and by routes. [RT2] [RT5]
 *
 * Each step is one transaction of nftables, so a packet sees the table before it or after it
 * and nothing between. What was in the kernel before this process came, and is wanted, is
 * left as it is: forwarding goes on while a router restarts.
 */
import type { SteeringTable } from "../../core/steering.ts";
import { KernelFault } from "../../linux/kernel-commands.ts";
import { NftSession } from "../../linux/nft-session.ts";
import { expectDevices, type KernelCommands, PLAIN_COMMANDS } from "./kernel-tools.ts";
import { areHostsRouted, routeHosts, unrouteFormerHosts, unrouteHosts } from "./policy-routing.ts";
import { configProblems, type RouterConfig } from "../steering/router-config.ts";
import type { DropCounts, RepairReport, SteeringDelta, SteeringKernel } from "../steering/steering-kernel.ts";
import {
  type Contents,
  contentsOf,
  deletion,
  differenceBetween,
  differenceOf,
  elementCommands,
  ruleCommands,
  usedContainers,
} from "../rules/steering-transactions.ts";
import {
  ruleProbe,
  type TableFamily,
  tableRemoval,
  transactionText,
} from "../../linux/nftables/statements.ts";
import { dropCountsOf, type Snapshot, snapshotOf } from "../rules/steering-snapshot.ts";
import { parseListing } from "../../linux/nftables/listing.ts";
import { REASON_SET } from "../rules/steering-rules.ts";
import { ABSENT_COUNTER, baseChains, declarationText } from "../rules/steering-declarations.ts";

const TABLES: readonly TableFamily[] = ["netdev", "inet"];

/** The Linux kernel, through `nft` and `ip`. */
export class NftKernel implements SteeringKernel {
  readonly #config: RouterConfig;
  readonly #commands: Pick<KernelCommands, "nft" | "ip">;
  readonly #session: NftSession;
  /** Sets and maps that rules ask; null until the kernel is known. */
  #inUse: Set<string> | null = null;

  constructor(config: RouterConfig, commands: Pick<KernelCommands, "nft" | "ip"> = PLAIN_COMMANDS) {
    const problems = configProblems(config);
    if (problems.length > 0) throw new KernelFault("configuration-wrong", problems.join(" "));
    this.#config = config;
    this.#commands = commands;
    this.#session = new NftSession(commands.nft);
  }

  async repair(table: SteeringTable): Promise<RepairReport> {
    const config = this.#config;
    const { contents, unreachable } = contentsOf(config, table);
    await expectDevices(config, this.#commands.ip);
    await routeHosts(config, this.#commands.ip);
    await this.#session.run(declarationText(config));
    const { contents: present, foreign } = await this.read();
    const difference = differenceBetween(present, contents);
    const inUse = usedContainers(contents);
    await this.#session.run(
      transactionText([
        ...ruleCommands(config, inUse),
        ...elementCommands(config, difference),
        ...foreign.map((object) => deletion(config, object)),
      ]),
    );
    await unrouteFormerHosts(config, this.#commands.ip);
    this.#inUse = inUse;
    this.#session.prepare();
    const removedCount = countOf(difference.removed);
    return { removedCount, addedCount: countOf(difference.added), unreachable };
  }

  async apply(delta: SteeringDelta): Promise<void> {
    const inUse = this.#inUse;
    if (inUse === null) throw new Error("a kernel that was never repaired cannot apply a change");
    const difference = differenceOf(this.#config, delta);
    const elements = elementCommands(this.#config, difference);
    if (elements.length === 0) return;
    const wider = new Set([...inUse, ...usedContainers(difference.added)]);
    const rules = wider.size > inUse.size ? ruleCommands(this.#config, wider) : [];
    await this.#session.run(transactionText([...elements, ...rules]));
    this.#inUse = wider;
  }

  /** What is in the kernel now. */
  async read(): Promise<Snapshot> {
    const listings = await Promise.all(
      TABLES.map((family) => this.#session.list(["list", "table", family, this.#config.table])),
    );
    return snapshotOf(
      this.#config,
      listings.flatMap((listing) => (listing === null ? [] : parseListing(listing))),
    );
  }

  async isInForce(areRoutesIncluded = true): Promise<boolean> {
    const config = this.#config;
    const probes = baseChains(config).map(({ table, chain }) =>
      ruleProbe(table, config.table, chain["name"] as string, 0),
    );
    if (!(await this.#session.isPossible(probes.join(" ; ")))) return false;
    return areRoutesIncluded ? areHostsRouted(config, this.#commands.ip) : true;
  }

  async counts(): Promise<DropCounts> {
    const { table } = this.#config;
    const listings = await Promise.all([
      this.#session.list(["list", "set", "netdev", table, REASON_SET]),
      this.#session.list(["list", "set", "netdev", table, "drops_ip4"]),
      this.#session.list(["list", "set", "netdev", table, "drops_ip6"]),
      this.#session.list(["list", "counter", "inet", table, ABSENT_COUNTER]),
    ]);
    return dropCountsOf(listings.flatMap((listing) => (listing === null ? [] : parseListing(listing))));
  }

  async remove(): Promise<void> {
    await this.withdraw();
    await unrouteHosts(this.#config, this.#commands.ip);
  }

  /** Takes the rules out of the kernel; routes stay. */
  async withdraw(): Promise<void> {
    const { table: name } = this.#config;
    const statements = TABLES.flatMap((family) => tableRemoval(family, name));
    await this.#session.run(statements.join(" ; "));
    this.#inUse = null;
  }

  close(): Promise<void> {
    return this.#session.close();
  }
}

function countOf(contents: Contents): number {
  return [...contents.values()].reduce((sum, { size }) => sum + size, 0);
}

/**
 * Puts the translation into the kernel: the ruleset by nftables, the entries of flows by `conntrack`, and which units
 * are translated by the guard. A choice for one address is one transaction. [SN3] [SN10]
 */
import { isDeepStrictEqual } from "node:util";
import { familyOf } from "../../core/address-family.ts";
import { remainingMs } from "../../core/lease-term.ts";
import type { PoolPolicy } from "../../core/pool-policy.ts";
import type { Clock } from "../../process/clock.ts";
import { NftSession } from "../../linux/nft-session.ts";
import { parseListing } from "../../linux/nftables/listing.ts";
import { ruleProbe, tableRemoval } from "../../linux/nftables/statements.ts";
import { choiceStatements, unitStatements } from "./chosen-units.ts";
import { controlGroups } from "./control-groups.ts";
import type { HostRanges } from "./destination-rules.ts";
import { entryMark, marksOfUnits, MOST_ADDRESSES } from "./entry-mark.ts";
import { lockSenders } from "./sender-lock.ts";
import type { SnatRule } from "./snat-rule.ts";
import { endEntries, listFlows } from "./tracking-table.ts";
import type { TranslatedFlow } from "./translated-flow.ts";
import type { TranslationChoice, TranslationKernel } from "./translation-kernel.ts";
import {
  deviceStatements,
  type FrameDevices,
  frameName,
  frameStatements,
  policyStatements,
  TRANSLATION_TABLE,
} from "./translation-ruleset.ts";

/** What the guard does for it. */
export interface TranslationGuard {
  /** Puts the guard back if it is gone; says whether it was. */
  restore(): Promise<boolean>;
  /** In these units of an address packets are tracked and must be translated. */
  translate(ip: string, units: readonly number[]): Promise<void>;
}

/** What it is given. */
export interface NftTranslationOptions {
  readonly rules: readonly SnatRule[];
  readonly ranges: HostRanges;
  readonly guard: TranslationGuard;
  readonly clock: Clock;
  /** Devices by which what leaves the machine leaves it. */
  readonly devices: () => Promise<readonly string[]>;
  /** Other devices, by which its senders are reached. */
  readonly senderDevices: () => Promise<readonly string[]>;
}

const LOOKS_BETWEEN = 10;

/** Ask whether the chains that packets meet have their rules; what is only forwarded has none without senders of the kind. */
function probesOf(rules: readonly SnatRule[]): string {
  const isForwarded = rules.some(({ sources, devices }) => sources.length + devices.length > 0);
  const chains = [...(isForwarded ? ["arrivals"] : []), "forward", "translate", "check"];
  return chains.map((chain) => ruleProbe("inet", TRANSLATION_TABLE, chain, 0)).join("; ");
}

/** Takes away what an earlier agent has left that translated, with its lock; nothing without such. */
export async function removeTranslation(): Promise<boolean> {
  const session = new NftSession();
  const wasThere = (await session.list(["list", "set", "inet", TRANSLATION_TABLE, "outside"])) !== null;
  if (wasThere) await session.run(tableRemoval("inet", TRANSLATION_TABLE).join("; "));
  await session.close();
  // The lock may be there without the table: a flush takes the table alone.
  const wasLocked = await lockSenders([]);
  return wasThere || wasLocked;
}

/** One per agent that translates. */
export class NftTranslation implements TranslationKernel {
  readonly #options: NftTranslationOptions;
  readonly #session = new NftSession();
  readonly #choices = new Map<string, TranslationChoice>();
  /** Units that have their chain in the table, by address. */
  readonly #chained = new Map<string, Set<number>>();
  /** Addresses by their number in marks, from 1. */
  #numbered: string[] = [];
  #policy: PoolPolicy | null = null;
  #devices: FrameDevices = { outside: [], inside: [] };
  #cgroups: ReadonlyMap<string, number> = new Map();
  #isOpen = false;
  #looks = 0;
  #last: Promise<unknown> = Promise.resolve();

  constructor(options: NftTranslationOptions) {
    this.#options = options;
  }

  /**
   * Puts the frame into the kernel; everything that the rules name is refused until units are chosen. What an earlier
   * life of the same rules chose stays until then, or until its leases end.
   */
  open(): Promise<void> {
    return this.#inTurn(() => this.#open());
  }

  async #open(): Promise<void> {
    this.#devices = {
      outside: await this.#options.devices(),
      inside: await this.#options.senderDevices(),
    };
    const { rules } = this.#options;
    // Found out before anybody relies on it.
    await listFlows(new Set());
    this.#numbered = await this.#readNumbers();
    this.#cgroups = await controlGroups(rules);
    const known = await this.#session.list([
      "list",
      "set",
      "inet",
      TRANSLATION_TABLE,
      frameName({ rules, cgroups: this.#cgroups }),
    ]);
    // A new frame refuses what begins; what runs still has its address among those by which it may leave.
    const frame = known === null ? [...this.#frame(), ...this.#choiceStatements()] : this.#deviceStatements();
    await this.#run([...frame, ...this.#policyStatements()]);
    await lockSenders(rules);
    this.#isOpen = true;
  }

  /** From now on this policy holds for new flows; what is in the kernel before `open` may be another agent's. */
  takePolicy(policy: PoolPolicy): Promise<void> {
    return this.#inTurn(async () => {
      this.#policy = policy;
      if (this.#isOpen) await this.#runOrRebuild(this.#policyStatements());
    });
  }

  /**
   * Puts back what another program has taken out, and says whether something was gone. It looks at the ruleset and
   * at the ways out each time, and at what changes rarely, or is no way out by itself, every tenth time. [SN10]
   */
  restore(): Promise<boolean> {
    return this.#inTurn(async () => {
      this.#looks += 1;
      const isThere = await this.#session.isPossible(probesOf(this.#options.rules));
      if (isThere) await this.#followDevices();
      if (isThere && (await this.#followGroups())) return false;
      if (isThere && this.#looks % LOOKS_BETWEEN !== 0) return false;
      // A flush takes both.
      const wasUnguarded = await this.#options.guard.restore();
      await lockSenders(this.#options.rules);
      if (!isThere) await this.#rebuild();
      return !isThere || wasUnguarded;
    });
  }

  track(ip: string, units: readonly number[]): Promise<void> {
    return this.#options.guard.translate(ip, units);
  }

  choose(ip: string, choice: TranslationChoice): Promise<void> {
    return this.#inTurn(async () => {
      this.#choices.set(ip, choice);
      await this.#runOrRebuild([...this.#newUnits(ip, choice), ...this.#choiceStatements()]);
      this.#noteUnits(ip, choice);
    });
  }

  async endEntries(ip: string, units: ReadonlySet<number>): Promise<void> {
    if (units.size === 0) return;
    const marks = marksOfUnits(this.#numberOf(ip), units);
    for (const mark of marks) await endEntries(familyOf(ip), mark);
  }

  async flows(): Promise<ReadonlyMap<string, readonly TranslatedFlow[]>> {
    return listFlows(new Set(this.#numbered));
  }

  /** Packets by what became of them, since the table is in the kernel. */
  async counts(): Promise<ReadonlyMap<string, number>> {
    const text = await this.#session.list(["list", "counters", "table", "inet", TRANSLATION_TABLE]);
    const listed = text === null ? [] : parseListing(text);
    return new Map(
      listed.flatMap(({ counter }) =>
        counter === undefined ? [] : [[String(counter["name"]), Number(counter["packets"])] as const],
      ),
    );
  }

  /** Ends the program that speaks to the kernel; the ruleset stays, and lets nothing out that is not leased. */
  async close(): Promise<void> {
    await this.#last;
    await this.#session.close();
  }

  /** As an earlier agent had them: entries that carry them are still there. */
  async #readNumbers(): Promise<string[]> {
    const numbered: string[] = [];
    for (const name of ["numbers4", "numbers6"]) {
      const text = await this.#session.list(["list", "map", "inet", TRANSLATION_TABLE, name]);
      const listed = text === null ? [] : parseListing(text);
      const elements = listed.flatMap(({ map }) => (map?.["elem"] as [string, number][] | undefined) ?? []);
      for (const [ip, number] of elements) numbered[number - 1] = ip;
    }
    return numbered;
  }

  #numberOf(ip: string): number {
    const known = this.#numbered.indexOf(ip);
    if (known >= 0) return known + 1;
    if (this.#numbered.length === MOST_ADDRESSES)
      throw new Error(`more than ${MOST_ADDRESSES} addresses are translated`);
    return this.#numbered.push(ip);
  }

  #newUnits(ip: string, { units }: TranslationChoice): string[] {
    const number = this.#numberOf(ip);
    const chained = this.#chained.get(ip);
    const fresh = units.map(({ unit }) => unit).filter((unit) => chained?.has(unit) !== true);
    return unitStatements(ip, fresh, (unit) => entryMark(number, unit));
  }

  #noteUnits(ip: string, { units }: TranslationChoice): void {
    const chained = this.#chained.get(ip) ?? new Set<number>();
    this.#chained.set(ip, chained);
    for (const { unit } of units) chained.add(unit);
  }

  #choiceStatements(): string[] {
    const now = this.#options.clock();
    const addresses = Array.from(this.#choices, ([ip, choice]) => ({
      ip,
      choice,
      remainingMs: choice.term === null ? 0 : remainingMs(choice.term, now),
    }));
    return choiceStatements(this.#options.rules, addresses, this.#numbered);
  }

  #policyStatements(): string[] {
    const { rules, ranges } = this.#options;
    return policyStatements(rules, ranges, this.#policy);
  }

  /** Whether a control group has come, or come anew, so that all was told again. */
  async #followGroups(): Promise<boolean> {
    const cgroups = await controlGroups(this.#options.rules);
    if (isDeepStrictEqual(cgroups, this.#cgroups)) return false;
    this.#cgroups = cgroups;
    await this.#rebuild();
    return true;
  }

  /** A way out that is lost for a moment must not let anything out when it is back: none is forgotten. */
  async #followDevices(): Promise<void> {
    const { devices: waysOut, senderDevices } = this.#options;
    const outside = [...new Set([...this.#devices.outside, ...(await waysOut())])];
    const isRarely = this.#looks % LOOKS_BETWEEN === 0;
    const inside = isRarely ? await senderDevices() : this.#devices.inside;
    if (isDeepStrictEqual({ outside, inside }, this.#devices)) return;
    this.#devices = { outside, inside };
    await this.#runOrRebuild(this.#deviceStatements());
  }

  /** Without a way out those that were known stay: there may be one again before it is looked for. */
  #deviceStatements(): string[] {
    return this.#devices.outside.length === 0 ? [] : deviceStatements(this.#devices);
  }

  #frame(): string[] {
    const { rules } = this.#options;
    return frameStatements({ rules, devices: this.#devices, cgroups: this.#cgroups });
  }

  async #runOrRebuild(statements: readonly string[]): Promise<void> {
    try {
      await this.#run(statements);
    } catch {
      // The table may be gone: it is made again, and the result of the second attempt counts.
      await this.#rebuild();
    }
  }

  async #rebuild(): Promise<void> {
    this.#chained.clear();
    const units = [...this.#choices].flatMap(([ip, choice]) => this.#newUnits(ip, choice));
    await this.#run([...this.#frame(), ...this.#policyStatements(), ...units, ...this.#choiceStatements()]);
    for (const [ip, choice] of this.#choices) this.#noteUnits(ip, choice);
  }

  #run(statements: readonly string[]): Promise<void> {
    return this.#session.run(statements.join("; "));
  }

  #inTurn<Result>(what: () => Promise<Result>): Promise<Result> {
    const turn = this.#last.then(what);
    this.#last = turn.catch(() => {});
    return turn;
  }
}

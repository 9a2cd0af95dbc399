/** The translation of this host, on the kernel of its machine. */
import type { Logger } from "pino";
import { readClock } from "../process/clock.ts";
import { CommandFault } from "../process/command-fault.ts";
import { KernelFault } from "../linux/kernel-commands.ts";
import type { AgentConfig } from "./command-line.ts";
import type { BlockLog } from "./flow-log/block-log.ts";
import type { Machine } from "./machine/guarded-machine.ts";
import { waysOut } from "./machine/machine-addresses.ts";
import { NftTranslation, removeTranslation } from "./translation/nft-translation.ts";
import { NotedTranslation } from "./noted-translation.ts";
import { sendersOfRules } from "./translation/senders.ts";
import type { SnatRule } from "./translation/snat-rule.ts";
import { readFacts, readRuleset, senderDevices } from "./translation/translation-facts.ts";
import { translationFindings } from "./translation/translation-findings.ts";
import { Translator } from "./translation/translator.ts";

/** For the rules that a host's configuration has. */
export function translatorOf(
  { snat, allowed, denied }: AgentConfig,
  machine: Machine,
  blockLog: BlockLog | null,
  log: Logger,
): Translator {
  const guard = new NotedTranslation(machine, snat, blockLog);
  const kernel = new NftTranslation({
    rules: snat,
    ranges: { allowed, denied },
    guard,
    clock: readClock,
    devices: waysOutTogether,
    senderDevices: () => devicesOfSenders(snat),
  });
  return new Translator({ rules: snat, kernel, inherited: (ip) => guard.unitsInUse(ip), log });
}

/** Starts it. Throws `kernel-unavailable`. */
export async function startTranslator(translator: Translator, machine: Machine): Promise<void> {
  try {
    // First, since two agents would undo each other's rules.
    await machine.takeGuard();
    await translator.start();
  } catch (fault) {
    if (!(fault instanceof KernelFault)) throw fault;
    throw new CommandFault(
      "kernel-unavailable",
      `The kernel cannot translate (--snat): ${fault.message}.`,
      fault,
    );
  }
}

/** On a machine whose kernel translates for nobody: what an earlier agent has left would refuse everything. */
export async function forgetTranslation(log: Logger): Promise<void> {
  try {
    if (await removeTranslation())
      log.warn("an earlier agent translated (--snat), and this one does not: its rules were removed");
  } catch (fault) {
    log.warn({ err: fault }, "it cannot be seen whether an earlier agent has left rules that translate");
  }
}

/** Logs what may keep the machine from translating, and leaves it to the operator. [HS6] */
export async function tellFindings(rules: readonly SnatRule[], log: Logger): Promise<void> {
  try {
    const facts = await readFacts(sendersOfRules(rules), await waysOut(), (await readRuleset()) ?? []);
    for (const { severity, sentence } of translationFindings(facts)) log.warn({ severity }, sentence);
  } catch (fault) {
    log.warn({ err: fault }, "whether the machine can translate could not be examined");
  }
}

/** Devices by which those come for whom the kernel translates. */
export async function devicesOfSenders(rules: readonly SnatRule[]): Promise<readonly string[]> {
  return senderDevices(sendersOfRules(rules), await waysOut());
}

/** Devices by which default routes leave this machine. */
async function waysOutTogether(): Promise<readonly string[]> {
  const { 4: ipv4, 6: ipv6 } = await waysOut();
  return [...new Set([...ipv4, ...ipv6])].toSorted();
}

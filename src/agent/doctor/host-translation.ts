/**
 * Whether this host's kernel translates for others, and what keeps it from that. What it translates the table in the
 * kernel says: so the doctor needs no option for it, and speaks of what is in force. [HS6]
 */
import { type Finding, good } from "../../process/finding.ts";
import { waysOut } from "../machine/machine-addresses.ts";
import { sendersInKernel } from "../translation/senders.ts";
import { readFacts, readRuleset, senderDevices } from "../translation/translation-facts.ts";
import { sendersText, translationFindings } from "../translation/translation-findings.ts";

/** What there is to know of a host that translates. */
export interface ExaminedTranslation {
  /** Devices by which senders come. */
  readonly senderDevices: readonly string[];
  readonly findings: readonly Finding[];
}

/** Null where the kernel translates nothing, or does not show that it does. */
export async function examineTranslation(): Promise<ExaminedTranslation | null> {
  const listed = (await readRuleset()) ?? [];
  const senders = sendersInKernel(listed);
  if (senders === null) return null;
  const ways = await waysOut();
  return {
    senderDevices: await senderDevices(senders, ways),
    findings: [
      good(`The kernel translates what these send out of this machine: ${sendersText(senders)}.`),
      ...translationFindings(await readFacts(senders, ways, listed)),
    ],
  };
}

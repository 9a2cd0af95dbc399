/** What an agent tells Prometheus of the flows that the kernel translates. [MT16] */
import type { MetricRegistry } from "../metrics/node/registry.ts";
import type { TRANSLATION_COUNTERS } from "./translation/translation-ruleset.ts";
import type { Translator } from "./translation/translator.ts";

/** What is measured. */
export type MeasuredTranslator = Pick<Translator, "status" | "onLooked">;

/** Counters of the ruleset whose packets go no further, by the reason that is told. */
const DROPPED: Readonly<Partial<Record<(typeof TRANSLATION_COUNTERS)[number], string>>> = {
  refused_ports: "ports",
  refused_full: "full",
  refused_destination: "destination",
  refused_protocol: "protocol",
  refused_midstream: "midstream",
  invalid: "invalid",
  untranslated: "untranslated",
  strays: "stray",
};

/** Has a registry tell of it at every scrape. */
export function readTranslation(registry: MetricRegistry, translator: MeasuredTranslator): void {
  translator.onLooked = registry.times("ipshard_agent_translation_look_seconds", {});
  registry.readAtScrape(async (add) => {
    const { addresses, packets, tracking } = await translator.status();
    for (const { ip, portCount, flowCount, busiestCount } of addresses) {
      add("ipshard_agent_translation_ports", { ip }, portCount);
      add("ipshard_agent_translation_busiest_destination_ports", { ip }, busiestCount);
      add("ipshard_agent_translation_flows", { ip }, flowCount);
    }
    add("ipshard_agent_translation_flows_total", {}, packets["translated"] ?? 0);
    add("ipshard_agent_translation_reported_packets_total", {}, packets["reported"] ?? 0);
    for (const [counter, reason] of Object.entries(DROPPED)) {
      add("ipshard_agent_translation_dropped_packets_total", { reason }, packets[counter] ?? 0);
    }
    if (tracking === null) return;
    add("ipshard_agent_translation_tracked_entries", {}, tracking.entryCount);
    add("ipshard_agent_translation_trackable_entries", {}, tracking.limit);
  });
}

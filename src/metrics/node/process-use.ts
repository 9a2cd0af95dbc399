/** What a process of ours takes of its machine. */
import type { MetricRegistry } from "./registry.ts";

/** Has it read at every scrape. */
export function readProcessUse(registry: MetricRegistry): void {
  registry.readAtScrape((add) => {
    const { user, system } = process.cpuUsage();
    add("ipshard_process_resident_bytes", {}, process.memoryUsage.rss());
    add("ipshard_process_cpu_seconds_total", {}, (user + system) / 1_000_000);
  });
}

/** Samples in Prometheus's text format, read for tests. */

/** By name and labels as they are written: `name{label="value"}`. */
export type Scraped = ReadonlyMap<string, number>;

/** Reads a scrape. */
export function readScrape(text: string): Scraped {
  const lines = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return new Map(
    lines.map((line) => {
      const at = line.lastIndexOf(" ");
      return [line.slice(0, at), Number(line.slice(at + 1))] as const;
    }),
  );
}

/** Names of the metrics of a scrape, those of a histogram's parts as its own. */
export function namesIn(text: string): ReadonlySet<string> {
  return new Set(Array.from(text.matchAll(/^# TYPE (\S+) /gm), ([, name]) => name!));
}

/** The sum of all samples of a name, whatever their labels are. */
export function sumOf(scraped: Scraped, name: string): number {
  let sum = 0;
  for (const [series, value] of scraped) if (series.split("{", 1)[0] === name) sum += value;
  return sum;
}

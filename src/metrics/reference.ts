/** The reference of all metrics for docs/METRICS.md, made of the catalogue. [MT1] */
import { METRIC_NAMES, METRICS, type MetricKind, type MetricName, type MetricProgram } from "./catalogue.ts";

/** Between these two lines the document is made; all else of it is written. */
export const REFERENCE_BEGINS = "<!-- Made by `npm run docs` from src/metrics/catalogue.ts. -->";
/** The end of what is made. */
export const REFERENCE_ENDS = "<!-- The end of what is made. -->";

const SECTIONS: Readonly<Record<MetricProgram, string>> = {
  agent: "Of an agent",
  router: "Of a router",
  process: "Of both",
  edge: "Of the edge",
};

/** The document with its reference as the catalogue has it now. */
export function withReference(document: string): string {
  const begin = document.indexOf(REFERENCE_BEGINS);
  const end = document.indexOf(REFERENCE_ENDS);
  if (begin < 0 || end < begin) throw new Error("the document has no place for the reference");
  return `${document.slice(0, begin)}${REFERENCE_BEGINS}\n\n${referenceText()}\n${document.slice(end)}`;
}

function referenceText(): string {
  const sections = Object.entries(SECTIONS).map(([program, title]) => {
    const names = METRIC_NAMES.filter((name) => METRICS[name].of === program);
    return `### ${title}\n\n${names.map(entryOf).join("")}`;
  });
  return sections.join("\n");
}

function entryOf(name: MetricName): string {
  const { type, labels, help }: MetricKind = METRICS[name];
  const by = labels.length === 0 ? "" : `, by ${labels.map((label) => `\`${label}\``).join(", ")}`;
  return `- \`${name}\` (${type}${by}): ${help}\n`;
}

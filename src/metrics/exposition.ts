/**
 * Samples as Prometheus reads them, for where no library for it runs: the Worker. Text format 0.0.4;
 * `promtool check metrics` judges it in the laboratory. [MT2]
 */
import { type LabelsOf, METRICS, type MetricName, type MetricNameOf } from "./catalogue.ts";
import type { TimeHistogram } from "./time-histogram.ts";

/** Of which media type it is. */
export const EXPOSITION_TYPE = "text/plain; version=0.0.4; charset=utf-8";

type PlainMetric = MetricNameOf<"counter" | "gauge">;

/** Gathers the samples of one scrape. */
export class Exposition {
  readonly #lines = new Map<MetricName, string[]>();

  /** One sample; of the same labels there is one alone. */
  add<Name extends PlainMetric>(name: Name, labels: LabelsOf<Name>, value: number): void {
    this.#linesOf(name).push(`${name}${labelled(labels)} ${value}`);
  }

  /** The samples of one series of a histogram. */
  addTimes<Name extends MetricNameOf<"histogram">>(
    name: Name,
    labels: LabelsOf<Name>,
    times: TimeHistogram,
  ): void {
    const { buckets, count, sumSeconds } = times.read();
    this.#linesOf(name).push(
      ...buckets.map(
        ({ bound, count: upTo }) => `${name}_bucket${labelled({ ...labels, le: bound })} ${upTo}`,
      ),
      `${name}_sum${labelled(labels)} ${sumSeconds}`,
      `${name}_count${labelled(labels)} ${count}`,
    );
  }

  /** The whole of it. */
  text(): string {
    const parts = [...this.#lines].map(([name, lines]) => {
      const { help, type } = METRICS[name];
      return [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`, ...lines, ""].join("\n");
    });
    return parts.join("");
  }

  #linesOf(name: MetricName): string[] {
    let lines = this.#lines.get(name);
    if (lines === undefined) this.#lines.set(name, (lines = []));
    return lines;
  }
}

function labelled(labels: Readonly<Record<string, string>>): string {
  const told = Object.entries(labels).map(([label, text]) => `${label}="${escaped(text)}"`);
  return told.length === 0 ? "" : `{${told.join(",")}}`;
}

function escaped(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}

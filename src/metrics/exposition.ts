/**
 * Samples as Prometheus reads them, for where no library for it runs: the Worker. Text format 0.0.4;
 * `promtool check metrics` judges it in the laboratory. [MT2]
 */
import { type LabelsOf, METRICS, type MetricName, type MetricNameOf } from "./catalogue.ts";

/** Of which media type it is. */
export const EXPOSITION_TYPE = "text/plain; version=0.0.4; charset=utf-8";

type PlainMetric = MetricNameOf<"counter" | "gauge">;

/** Gathers the samples of one scrape. */
export class Exposition {
  readonly #lines = new Map<MetricName, string[]>();

  /** One sample; of the same labels there is one alone. */
  add<Name extends PlainMetric>(name: Name, labels: LabelsOf<Name>, value: number): void {
    let lines = this.#lines.get(name);
    if (lines === undefined) this.#lines.set(name, (lines = []));
    const told = Object.entries<string>(labels).map(([label, text]) => `${label}="${escaped(text)}"`);
    lines.push(`${name}${told.length === 0 ? "" : `{${told.join(",")}}`} ${value}`);
  }

  /** The whole of it. */
  text(): string {
    const parts = [...this.#lines].map(([name, lines]) => {
      const { help, type } = METRICS[name];
      return [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`, ...lines, ""].join("\n");
    });
    return parts.join("");
  }
}

function escaped(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}

/**
 * What a process of ours counts, by the names of the catalogue alone. What a part counts anyway is read
 * when somebody asks; only times are noted as they pass, each by a histogram that was looked up before. [MT1]
 */
import { AggregatorRegistry, Counter, Gauge, Histogram, Registry } from "prom-client";
import { type LabelsOf, METRICS, type MetricKind, type MetricName, type MetricNameOf } from "../catalogue.ts";

/** A scrape of one process, as JSON can say it to another. */
export type Samples = Awaited<ReturnType<Registry["getMetricsAsJSON"]>>;

/** Notes a time that has passed, in milliseconds. */
export type NoteMs = (durationMs: number) => void;

type ReadName = MetricNameOf<"counter" | "gauge">;

/** Adds a sample to the scrape under way; those of the same labels are added up. */
export type AddSample = <Name extends ReadName>(name: Name, labels: LabelsOf<Name>, value: number) => void;

/** Reads what is counted elsewhere. */
export type Reader = (add: AddSample) => void | Promise<void>;

/** One per process. */
export class MetricRegistry {
  readonly #registry = new Registry();
  readonly #readers: Reader[] = [];
  /** Those that readers add to. */
  readonly #read = new Map<ReadName, Counter | Gauge>();
  readonly #histograms = new Map<MetricName, Histogram>();
  /** Scrapes come one after the other, since they share what is read. */
  #last: Promise<unknown> = Promise.resolve();

  /** Is asked at every scrape. */
  readAtScrape(reader: Reader): void {
    this.#readers.push(reader);
  }

  /** The histogram of these labels, to be kept by whoever notes times on a hot path. */
  times<Name extends MetricNameOf<"histogram">>(name: Name, labels: LabelsOf<Name>): NoteMs {
    let histogram = this.#histograms.get(name);
    if (histogram === undefined) {
      const { buckets } = METRICS[name];
      histogram = new Histogram({ ...this.#described(name), buckets: [...buckets] });
      this.#histograms.set(name, histogram);
    }
    // A series that has noted nothing yet is zero, not absent: rates begin with it.
    histogram.zero(labels);
    const child = histogram.labels(labels);
    return (durationMs) => child.observe(durationMs / 1_000);
  }

  /** All samples as they are now. */
  samples(): Promise<Samples> {
    const scrape = this.#last.then(() => this.#scrape());
    this.#last = scrape.catch(() => {});
    return scrape;
  }

  async #scrape(): Promise<Samples> {
    const found: {
      readonly name: ReadName;
      readonly labels: Record<string, string>;
      readonly value: number;
    }[] = [];
    const add: AddSample = (name, labels, value) => void found.push({ name, labels: { ...labels }, value });
    for (const reader of this.#readers) {
      const reading = reader(add);
      if (reading instanceof Promise) await reading;
    }
    for (const metric of this.#read.values()) metric.reset();
    for (const { name, labels, value } of found) this.#metric(name).inc(labels, value);
    return this.#registry.getMetricsAsJSON();
  }

  #metric(name: ReadName): Counter | Gauge {
    let metric = this.#read.get(name);
    if (metric === undefined) {
      metric =
        METRICS[name].type === "counter"
          ? new Counter(this.#described(name))
          : new Gauge(this.#described(name));
      this.#read.set(name, metric);
    }
    return metric;
  }

  #described(name: MetricName) {
    const { help, labels }: MetricKind = METRICS[name];
    return { name, help, labelNames: [...labels], registers: [this.#registry] };
  }
}

/** The sum of what several processes said, in Prometheus's text format. [MT4] */
export function textOf(all: readonly Samples[]): Promise<string> {
  return AggregatorRegistry.aggregate([...all]).metrics();
}

/** The sum of the counts of several processes, without what they say of now. */
export function sumOfCounts(all: readonly Samples[]): Promise<Samples> {
  const counts = all.map((samples) => samples.filter(({ name }) => isCount(name)));
  return AggregatorRegistry.aggregate(counts).getMetricsAsJSON();
}

function isCount(name: string): boolean {
  return METRICS[name as MetricName].type !== "gauge";
}

/**
 * Sends spans to a collector, some at a time. They are worth less than what they are about: what a collector
 * does not take in time is lost, and counted. [MT13]
 */
import type { Logger } from "pino";
import { type FinishedSpan, type SpanFacts, spansBody, TRACES_PATH } from "../otlp.ts";

/** Where they go, and what is said of all of them. */
export interface SpanExporterOptions {
  /** Of the collector, without the path. */
  readonly collector: string;
  readonly service: SpanFacts;
  readonly log: Logger;
}

const FLUSH_MS = 1_000;
const MOST_AT_ONCE = 256;
const MOST_WAITING = 2_048;
/** The end of a process waits for it. */
const ANSWER_MS = 2_000;

/** One per process. */
export class SpanExporter {
  /** Spans that no collector has taken. */
  lostCount = 0;
  readonly #options: SpanExporterOptions;
  readonly #url: string;
  #waiting: FinishedSpan[] = [];
  #timer: NodeJS.Timeout | null = null;
  #sending: Promise<void> | null = null;
  #hasFailed = false;

  constructor(options: SpanExporterOptions) {
    this.#options = options;
    this.#url = options.collector.replace(/\/$/, "") + TRACES_PATH;
  }

  /** Takes a span; never waits. */
  add(span: FinishedSpan): void {
    if (this.#waiting.length >= MOST_WAITING) {
      this.lostCount += 1;
      return;
    }
    this.#waiting.push(span);
    if (this.#timer !== null) return;
    this.#timer = setTimeout(() => {
      this.#timer = null;
      void this.flush();
    }, FLUSH_MS).unref();
  }

  /** Sends what waits; resolves when it is taken, or lost. */
  async flush(): Promise<void> {
    while (this.#sending !== null) await this.#sending;
    this.#sending = this.#sendAll();
    await this.#sending;
  }

  async #sendAll(): Promise<void> {
    try {
      while (this.#waiting.length > 0) await this.#send(this.#waiting.splice(0, MOST_AT_ONCE));
    } finally {
      this.#sending = null;
    }
  }

  async #send(spans: readonly FinishedSpan[]): Promise<void> {
    const { service, log } = this.#options;
    try {
      const answer = await fetch(this.#url, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: spansBody(service, spans),
        redirect: "error",
        signal: AbortSignal.timeout(ANSWER_MS),
      });
      await answer.body?.cancel();
      if (!answer.ok) throw new Error(`the collector answered ${answer.status}`);
      this.#hasFailed = false;
    } catch (fault) {
      this.lostCount += spans.length;
      // Once, until it works again: each further one is counted.
      if (!this.#hasFailed) log.warn({ err: fault }, "the collector does not take spans: they are lost");
      this.#hasFailed = true;
    }
  }
}

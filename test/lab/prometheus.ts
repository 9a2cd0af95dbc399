/** Debian's Prometheus inside the laboratory, with the alerts that we ship, as a test asks it. */
import assert from "node:assert/strict";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Lab } from "./lab.ts";
import { until } from "./until.ts";

const RULES = join(import.meta.dirname, "../../ops/prometheus/ipshard.rules.yml");
const PORT = 9090;
/** Nobody waits for minutes in a laboratory: how long something must last, and how far back is looked. */
const LASTING = "1s";
const LOOK_BACK = "10s";

/** Where something tells its metrics. */
export interface ScrapeJob {
  readonly name: string;
  readonly targets: readonly string[];
  readonly tokenFile: string;
}

/** One series of an answer. */
export interface Sample {
  readonly metric: Readonly<Record<string, string>>;
  readonly value: readonly [number, string];
}

/** One Prometheus on the machine of the edge. */
export class Prometheus {
  readonly #lab: Lab;

  private constructor(lab: Lab) {
    this.#lab = lab;
  }

  /** Starts it; resolves when it is ready. */
  static async start(lab: Lab, jobs: readonly ScrapeJob[]): Promise<Prometheus> {
    const directory = join(lab.directory, "prometheus");
    await mkdir(directory, { recursive: true });
    const rules = (await readFile(RULES, "utf8"))
      .replaceAll(/\bfor: \d+\w/g, `for: ${LASTING}`)
      .replaceAll(/\[\d+m\]/g, `[${LOOK_BACK}]`);
    await writeFile(join(directory, "rules.yml"), rules);
    const config = join(directory, "prometheus.yml");
    await writeFile(config, JSON.stringify(configOf(jobs)));
    await lab.exec("edge", ["promtool", "check", "config", config]);
    const prometheus = new Prometheus(lab);
    const started = lab.spawn("edge", [
      "prometheus",
      `--config.file=${config}`,
      `--storage.tsdb.path=${join(directory, "data")}`,
      `--web.listen-address=127.0.0.1:${PORT}`,
      "--log.level=warn",
    ]);
    let hasEnded = false;
    void started.exited.then(() => (hasEnded = true));
    await until(async () => {
      assert(!hasEnded, `Prometheus has ended: ${started.said}`);
      return prometheus.#get("/-/ready").then(
        () => true,
        () => false,
      );
    });
    return prometheus;
  }

  /** The series of an expression now. */
  async query(expression: string): Promise<readonly Sample[]> {
    const answer = await this.#ask(`/api/v1/query?query=${encodeURIComponent(expression)}`);
    return (answer as { result: Sample[] }).result;
  }

  /** The names of all metrics that were ever scraped and begin so. */
  async names(prefix: string): Promise<readonly string[]> {
    const answer = await this.#ask("/api/v1/label/__name__/values");
    return (answer as string[]).filter((name) => name.startsWith(prefix));
  }

  /** Alerts that fire now, by name and what they are about. */
  async firing(): Promise<readonly string[]> {
    const { alerts } = (await this.#ask("/api/v1/alerts")) as {
      alerts: { labels: Record<string, string>; state: string; annotations: Record<string, string> }[];
    };
    return alerts
      .filter(({ state }) => state === "firing")
      .map(({ labels, annotations }) => {
        assert(!/error|<no value>/i.test(annotations["summary"]!), annotations["summary"]);
        const { alertname, code, router, instance } = labels;
        return `${alertname} ${code ?? router ?? instance ?? ""}`.trim();
      });
  }

  async #ask(path: string): Promise<unknown> {
    return (JSON.parse(await this.#get(path)) as { data: unknown }).data;
  }

  async #get(path: string): Promise<string> {
    const url = `http://127.0.0.1:${PORT}${path}`;
    return (await this.#lab.exec("edge", ["curl", "-sS", "--fail", "--max-time", "10", url])).stdout;
  }
}

function configOf(jobs: readonly ScrapeJob[]): object {
  return {
    global: { scrape_interval: "1s", scrape_timeout: "1s", evaluation_interval: "1s" },
    rule_files: ["rules.yml"],
    scrape_configs: jobs.map(({ name, targets, tokenFile }) => ({
      job_name: name,
      authorization: { credentials_file: tokenFile },
      static_configs: [{ targets }],
    })),
  };
}

/** A client of the egress API that runs inside the laboratory, as a test drives it. */
import assert from "node:assert/strict";
import { join } from "node:path";
import type { Lab } from "./lab.ts";
import type { LabProcess } from "./lab-process.ts";
import { until } from "./until.ts";
import type { Role } from "./plan.ts";
import type { Order, Sample, WebAnswer, WebRequest } from "./web-client.ts";

/** One client inside the laboratory. */
export class WebClient {
  readonly #process: LabProcess;
  #count = 0;

  private constructor(started: LabProcess) {
    this.#process = started;
  }

  /** Starts one on a machine. */
  static async start(lab: Lab, role: Role): Promise<WebClient> {
    const started = lab.spawnNode(role, join(import.meta.dirname, "web-client.ts"));
    await started.waitFor("ready\n");
    return new WebClient(started);
  }

  async request(request: WebRequest): Promise<WebAnswer> {
    return this.#ask({ verb: "request", request });
  }

  /** Lanes that go on until `stop`; lane n takes request n modulo their number. */
  async load(lanes: number, requests: readonly WebRequest[]): Promise<void> {
    await this.#ask({ verb: "load", lanes, requests });
  }

  /** Waits until so many more requests have ended. */
  async progresses(count: number): Promise<void> {
    const before: number = await this.#ask({ verb: "progress" });
    await until(async () => (await this.#ask<number>({ verb: "progress" })) >= before + count);
  }

  /** Lets every lane finish what it is at. */
  async stop(): Promise<Sample[]> {
    return this.#ask({ verb: "stop" });
  }

  /** Ends it with all that it has under way. */
  async kill(): Promise<void> {
    await this.#process.kill();
  }

  async #ask<Answer>(order: Order): Promise<Answer> {
    this.#count += 1;
    const id = this.#count;
    // One character back, for an answer begins after the end of a line.
    const from = Math.max(0, this.#process.said.length - 1);
    this.#process.write(JSON.stringify({ id, order }));
    const start = await this.#process.waitFor(`\n#${id} `, from);
    const end = await this.#process.waitFor("\n", start);
    const { answer, fault } = JSON.parse(this.#process.said.slice(start, end)) as {
      answer: Answer;
      fault?: string;
    };
    assert(fault === undefined, `a request failed: ${fault}`);
    return answer;
  }
}

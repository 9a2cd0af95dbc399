/** What one process has of the flow log: its own flows, noted if that is asked for, and the answers for the host. */
import type { FlowAnswer, FlowQuestion } from "../../wire/flow-answer.ts";
import type { FlowRecorder } from "../egress/flow-recorder.ts";
import type { FlowLog } from "./flow-log.ts";
import { flowLogDirectory, flowLogOf, type FlowLogPlace } from "./flow-log-options.ts";
import { searchFlows } from "./flow-search.ts";

/** From `open` until `close`. */
export class ProcessFlows {
  readonly #directory: string;
  readonly #log: FlowLog | null;

  /** `onFault` is told once when flows cannot be written, until they can again. */
  constructor(place: FlowLogPlace, number: number, onFault: (fault: unknown) => void) {
    this.#directory = flowLogDirectory(place);
    this.#log = flowLogOf(place, number, onFault);
  }

  /** Null where no flows are logged. */
  get recorder(): FlowRecorder | null {
    return this.#log;
  }

  /** Rejects when the disk does not take it. */
  async open(): Promise<void> {
    await this.#log?.open();
  }

  /** For the status. */
  describe(): Record<string, unknown> {
    return this.#log === null ? {} : { flowLog: this.#log.counts };
  }

  /** Who used a port at a time, as the logs of all processes say. What was noted a moment ago is found, too. */
  async at(question: FlowQuestion): Promise<FlowAnswer> {
    await this.#log?.flush();
    return searchFlows(this.#directory, question);
  }

  async close(): Promise<void> {
    await this.#log?.close();
  }
}

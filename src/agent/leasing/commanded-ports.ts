/** The ports of an address as their keeper knows them: what it told them last, and their last report. [LK13] */
import { isDeepStrictEqual } from "node:util";
import type { Lease } from "../../core/lease-commands.ts";
import type { PortCommand, PortControl, PortReport } from "../egress/port-messages.ts";

/** One per keeper. */
export class CommandedPorts {
  readonly #control: PortControl;
  #command: PortCommand = { number: 0, term: null, blocks: [], isGrowing: false, pressureCount: 0 };
  #report: PortReport | null = null;

  /** `onReport` is called after each report, which may be within `tell` and `ask`. */
  constructor(control: PortControl, onReport: (report: PortReport) => void) {
    this.#control = control;
    control.onReport = (report) => {
      this.#report = report;
      onReport(report);
    };
  }

  /** The last report; null before the first. */
  get report(): PortReport | null {
    return this.#report;
  }

  /** Whether they were told that more ports may come. */
  get areGrowing(): boolean {
    return this.#command.isGrowing;
  }

  /** Whether the last report knows of all that they were told. */
  get isReportCurrent(): boolean {
    return this.#report !== null && this.#report.number >= this.#command.number;
  }

  /** Ports in use towards the busiest destination. */
  get busiestCount(): number {
    return this.#report?.busiestCount ?? 0;
  }

  /** Flows on a lease's block. */
  readonly flowCount = ({ epoch }: Lease): number =>
    this.#report === null ? 0 : flowCountOf(this.#report, epoch);

  /** Asks for a report. */
  ask(): void {
    this.#control.command(this.#command);
  }

  /** Tells them what has changed, if anything has; `onNumber` hears first in which command they are told. */
  tell(content: Omit<PortCommand, "number">, onNumber: (number: number) => void): void {
    const { number, ...present } = this.#command;
    const isChanged = !isDeepStrictEqual(present, content);
    if (isChanged) this.#command = { number: number + 1, ...content };
    onNumber(this.#command.number);
    if (isChanged) this.ask();
  }
}

/** Flows on a block, as reported. */
export function flowCountOf({ flows }: PortReport, epoch: number): number {
  return flows.find((flow) => flow.epoch === epoch)?.count ?? 0;
}

/** The parts of addresses that a data process has, and how its agent speaks with them. */
import type { PortBinder } from "../egress/port-binder.ts";
import type { PartCommand, PartReport } from "../division/part-messages.ts";
import { PartPorts, type PartPortsOptions } from "../division/part-ports.ts";

/** Time, where it is another than the real one. */
type PartTiming = Pick<PartPortsOptions, "clock" | "timers">;

/** One per data process. */
export class ServedParts {
  readonly #binder: PortBinder;
  readonly #send: (ip: string, report: PartReport) => void;
  readonly #timing: PartTiming;
  readonly #parts = new Map<string, PartPorts>();
  /** By address, the last report of it, also of one that is served no more. */
  readonly #sequences = new Map<string, number>();

  constructor(binder: PortBinder, send: (ip: string, report: PartReport) => void, timing: PartTiming = {}) {
    this.#timing = timing;
    this.#binder = binder;
    this.#send = send;
  }

  /** These are served from now on, and no others. */
  serve(ips: readonly string[]): void {
    for (const [ip, part] of this.#parts) {
      if (ips.includes(ip)) continue;
      part.close();
      this.#parts.delete(ip);
      this.#binder.removeAddress(ip);
    }
    for (const ip of ips) if (!this.#parts.has(ip)) this.#parts.set(ip, this.#begin(ip));
  }

  /** What it may use of an address from now on; null to be asked for a report. */
  command(ip: string, command: PartCommand | null): void {
    if (command === null) this.#parts.get(ip)?.ask();
    else this.#parts.get(ip)?.command(command);
  }

  #begin(ip: string): PartPorts {
    return new PartPorts({
      ...this.#timing,
      ports: this.#binder.addAddress(ip),
      firstSequence: this.#sequences.get(ip) ?? 0,
      send: (report) => {
        this.#sequences.set(ip, report.sequence);
        this.#send(ip, report);
      },
    });
  }
}

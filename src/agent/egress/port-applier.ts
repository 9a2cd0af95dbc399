/** Applies a keeper's commands to the ports of an address in this process. */
import type { AddressPorts } from "./address-ports.ts";
import type { PortCommand, PortControl, PortReport } from "./port-messages.ts";

/** One per keeper of an address. */
export class PortApplier implements PortControl {
  onReport: ((report: PortReport) => void) | null = null;
  readonly #ports: AddressPorts;
  #number = 0;
  #isPressed = false;

  constructor(ports: AddressPorts) {
    this.#ports = ports;
    ports.onPressure = () => this.#reportPressure();
  }

  command(command: PortCommand): void {
    if (command.number > this.#number) this.#apply(command);
    this.#report();
  }

  close(): void {
    this.#ports.onPressure = null;
  }

  #apply({ number, term, blocks, isGrowing, pressureCount }: PortCommand): void {
    const ports = this.#ports;
    this.#number = number;
    const epochs = new Set(blocks.map(({ lease }) => lease.epoch));
    // Before the term is set: a new term says nothing of blocks that are gone. [LK13]
    for (const { lease } of ports.leases()) if (!epochs.has(lease.epoch)) ports.removeBlock(lease.epoch);
    ports.setTerm(term);
    for (const { lease, isDraining } of blocks) {
      ports.addBlock(lease);
      if (isDraining) ports.drainBlock(lease.epoch);
      else ports.resumeBlock(lease.epoch);
    }
    ports.pressureCount = pressureCount;
    if (isGrowing) ports.growthOutstanding = true;
    else if (ports.growthOutstanding) ports.endGrowth();
  }

  /** The ports call from the middle of a choice, and with every flow: once is enough, when it is made. */
  #reportPressure(): void {
    if (this.#isPressed || !this.#ports.growthOutstanding) return;
    this.#isPressed = true;
    queueMicrotask(() => {
      this.#isPressed = false;
      this.#report();
    });
  }

  #report(): void {
    const ports = this.#ports;
    const flows = [...ports.leases()].map(({ lease: { epoch } }) => ({
      epoch,
      count: ports.flowCount(epoch),
    }));
    const { busiestCount } = ports.capacity();
    this.onReport?.({ number: this.#number, busiestCount, flows, lingering: [] });
  }
}

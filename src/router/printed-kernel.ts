/** `--dry-run`: prints what the kernel would be told for the pool as it is now. */
import type { SteeringTable } from "../core/steering.ts";
import type { RepairReport, SteeringKernel } from "./kernel.ts";
import type { RouterConfig } from "./router-config.ts";
import { contentsOf, printProgram } from "./steering-program.ts";
import type { DropCounts } from "./steering-snapshot.ts";

/** A kernel on paper. It never follows, so nothing is ever acknowledged. */
export class PrintedKernel implements SteeringKernel {
  /** Resolves when a table has been printed. */
  readonly printed: Promise<void>;
  readonly #config: RouterConfig;
  readonly #print: (line: string) => void;
  readonly #resolve: () => void;

  constructor(config: RouterConfig, print: (line: string) => void) {
    this.#config = config;
    this.#print = print;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.printed = promise;
    this.#resolve = resolve;
  }

  repair(table: SteeringTable): Promise<RepairReport> {
    for (const line of printProgram(this.#config, table)) this.#print(line);
    for (const { host, family } of contentsOf(this.#config, table).unreachable) {
      this.#print(`# nobody has said how to reach ${host} by IPv${family}`);
    }
    if (table.sequence === 0)
      this.#print("# the pool has had no router yet, so its blocks are not known to it");
    this.#resolve();
    // Resolving would acknowledge, and hosts would begin to send. [ST2]
    return new Promise(() => {});
  }

  apply(): Promise<void> {
    return Promise.resolve();
  }

  isInForce(): Promise<boolean> {
    return Promise.resolve(true);
  }

  counts(): Promise<DropCounts> {
    throw new Error("a kernel on paper counts nothing");
  }

  remove(): Promise<void> {
    return Promise.resolve();
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

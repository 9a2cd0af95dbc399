/**
 * A router in its pool: what the pool says goes to the kernel, and what the kernel has
 * applied is acknowledged. Every so often it looks whether the kernel still has it. [RT10]
 *
 *     pool feed → installer → kernel
 *          ↑ acknowledge ┘
 */
import { SteeringLag } from "./steering-lag.ts";
import { KernelFault } from "../../linux/kernel-commands.ts";
import { type CancelTimer, systemTimers, type Timers } from "../../process/timers.ts";
import type { SteeringKernel } from "../steering/steering-kernel.ts";
import { type PoolFeedOptions, PoolFeed } from "./pool-feed.ts";
import { type InstallerEvent, SteeringInstaller } from "./steering-installer.ts";

/** Where a router's pool and its kernel are. The kernel stays open when the member stops. */
export interface SteeringMemberOptions extends Omit<PoolFeedOptions, "onConnected" | "onTable" | "onChange"> {
  readonly kernel: SteeringKernel;
  /** Reads a monotonic clock; the system's, unless it is given. */
  readonly nowMs?: () => number;
}

/** How often the rules are checked: a program that removes them does not announce it. */
const CHECK_INTERVAL_MS = 1_000;
/** Routes to hosts beyond tunnels take a command each, so they are looked at less often. */
const CHECKS_PER_ROUTE_CHECK = 5;

/** From `start` to `stop`. */
export class SteeringMember {
  /** How far the kernel is behind. */
  readonly lag: SteeringLag;
  /** Times that the kernel did not take what it was told, and that others took from it what it had. */
  readonly counts = { kernelFailures: 0, displacements: 0 };
  readonly #options: SteeringMemberOptions;
  readonly #timers: Timers;
  readonly #feed: PoolFeed;
  readonly #installer: SteeringInstaller;
  #isReady = false;
  #isChecking = false;
  #checkCount = 0;
  #cancelCheck: CancelTimer | null = null;

  constructor(options: SteeringMemberOptions) {
    this.#options = options;
    this.#timers = options.timers ?? systemTimers;
    this.lag = new SteeringLag(options.nowMs);
    this.#installer = new SteeringInstaller({
      kernel: options.kernel,
      askTable: () => this.#feed.resync(),
      acknowledge: (sequence) => this.#acknowledge(sequence),
      onEvent: (event) => this.#tell(event),
      timers: this.#timers,
    });
    this.#feed = new PoolFeed({
      ...options,
      onConnected: () => {
        this.lag.begunAnew();
        this.#installer.connected();
      },
      onTable: (table) => {
        this.lag.heard(table.sequence);
        this.#installer.table(table);
      },
      onChange: (change) => {
        this.lag.heard(change.sequence);
        this.#installer.change(change);
      },
    });
  }

  /** Whether the pool can be heard now. */
  get isConnected(): boolean {
    return this.#feed.isConnected;
  }

  /** Whether the kernel has applied the pool's table in this life. */
  get isReady(): boolean {
    return this.#isReady;
  }

  /** The number up to which the kernel has applied; null until it has applied a whole table. */
  get appliedSequence(): number | null {
    return this.#installer.appliedSequence;
  }

  /** Connects to the pool; an edge that is away is waited for. */
  start(): void {
    this.#feed.start();
    this.#checkLater();
  }

  /** Stops, after the step under way. The kernel keeps what it has. */
  async stop(): Promise<void> {
    this.#cancelCheck?.();
    this.#cancelCheck = null;
    this.#feed.stop();
    await this.#installer.close();
  }

  #checkLater(): void {
    this.#cancelCheck = this.#timers.after(CHECK_INTERVAL_MS, () => {
      this.#checkLater();
      void this.#check();
    });
  }

  async #check(): Promise<void> {
    // A kernel that is busy with a large table takes its time.
    if (this.#isChecking) return;
    this.#isChecking = true;
    try {
      this.#checkCount += 1;
      await this.#installer.check(this.#checkCount % CHECKS_PER_ROUTE_CHECK === 0);
    } catch (fault) {
      this.#options.log.error({ err: fault }, "it cannot be seen whether the kernel still steers");
    } finally {
      this.#isChecking = false;
    }
  }

  #acknowledge(sequence: number): void {
    this.lag.applied(sequence);
    this.#feed.acknowledge(sequence);
    if (this.#isReady) return;
    this.#isReady = true;
    this.#options.log.info({ sequence }, "ready: the kernel steers by the pool's table");
  }

  #tell(event: InstallerEvent): void {
    const { log } = this.#options;
    switch (event.type) {
      case "repaired": {
        const { removedCount, addedCount, unreachable } = event.report;
        log.info({ removedCount, addedCount }, "the kernel was compared with the pool's table");
        for (const { host, family } of unreachable) {
          log.warn(
            { host },
            `nobody has said how to reach ${host} by IPv${family}; packets for its ports are dropped (--via)`,
          );
        }
        return;
      }
      case "kernel-failed": {
        const { fault, retryInMs } = event;
        this.counts.kernelFailures += 1;
        // The kernel's message is for operators; a stack trace is not.
        const [about, reason] =
          fault instanceof KernelFault
            ? [{ code: fault.code }, `: ${firstLine(fault)}`]
            : [{ err: fault }, ""];
        log.error(about, `the kernel did not apply it${reason}; again in ${retryInMs} ms`);
        return;
      }
      case "displaced":
        this.counts.displacements += 1;
        log.error("another program had taken the rules out of the kernel; they are put back");
        return;
      case "outdated":
        log.warn({ ...event.entry, heldEpoch: event.heldEpoch }, "an entry from the past was passed over");
        return;
    }
  }
}

/** nft repeats the message for each rule that depends on the fault. */
function firstLine({ message }: KernelFault): string {
  return message.split("\n", 1)[0]!;
}

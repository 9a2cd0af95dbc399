/**
 * Keepers under every fault at once: lost, doubled and late messages, lost connections,
 * crashes, pauses past the term, wall clocks that leap. The world checks law 1 at every step;
 * when the faults stop, everybody must be served again.
 */
import { expect, test } from "vitest";
import { type FakeHost, World } from "./keeper-world.ts";

const NAMES = ["h1", "h2", "h3"];
const STEPS = 400;

class Chaos {
  readonly world: World;
  readonly hosts = new Map<string, FakeHost>();
  readonly done: string[] = [];
  #isOver = false;
  /** Beside the usual: whole times in which everything is slow, so that no repetition helps. */
  #latencyMs = 0;

  constructor(seed: number) {
    const settings = { leaseDurationMs: 30_000, quarantineMs: 10_000, maxPortsPerHost: 4_096 };
    this.world = new World(settings, { restMs: 5_000 }, seed);
    const fate = (): "deliver" | "lose" | "twice" | { delayMs: number } => {
      if (this.#isOver) return "deliver";
      if (this.#pick(100) < 80) return { delayMs: this.#latencyMs };
      return (["lose", "twice", { delayMs: this.#pick(20_000) }] as const)[this.#pick(3)]!;
    };
    this.world.fateOfRequest = fate;
    this.world.fateOfReply = fate;
    for (const name of NAMES) this.hosts.set(name, this.world.start(name));
  }

  step(): void {
    if (this.#pick(20) === 0) this.#latencyMs = this.#pick(2) * this.#pick(12_000);
    this.#trouble(this.hosts.get(NAMES[this.#pick(NAMES.length)]!)!);
    this.world.advance(this.#pick(3_000) + 1);
  }

  calm(): void {
    this.#isOver = true;
    for (const host of this.hosts.values()) {
      if (host.isPaused) host.wake();
      host.disconnect();
      host.connect();
    }
    this.world.advance(120_000);
  }

  #trouble(host: FakeHost): void {
    const kind = this.#pick(12);
    this.done.push(`${this.world.timeline.nowMs} ${host.name} ${kind}`);
    if (host.isPaused) {
      if (kind < 6) host.wake();
    } else if (kind === 0) {
      host.pause();
    } else if (kind === 1) {
      host.disconnect();
    } else if (kind === 2) {
      host.disconnect();
      host.connect();
    } else if (kind === 3) {
      host.crash();
      this.hosts.set(host.name, this.world.start(host.name, { highestEpoch: host.highestEpoch }));
    } else if (kind === 4) {
      host.wallSkewMs += (this.#pick(2) * 2 - 1) * this.#pick(100_000);
    } else if (kind === 5 && host.connection === null) {
      host.connect();
    } else if (kind < 9) {
      host.ports.busiestCount = this.#pick(host.ports.usablePortCount() + 1);
      host.ports.report();
    } else {
      for (const block of host.ports.blocks.values()) block.flows = this.#pick(2);
    }
  }

  #pick(count: number): number {
    return Math.floor(this.world.random() * count);
  }
}

test.each(Array.from({ length: 30 }, (_, index) => index + 1))(
  "[LK2] one sender per port, seed %i",
  (seed) => {
    const chaos = new Chaos(seed);
    try {
      for (let step = 0; step < STEPS; step += 1) chaos.step();
      chaos.calm();
      for (const [name, host] of chaos.hosts) {
        expect(host.sendable().length, `${name} is served`).toBeGreaterThan(0);
        const held = new Set(chaos.world.rowsOf(name).map(({ epoch }) => epoch));
        for (const epoch of host.ports.epochs()) expect(held.has(epoch)).toBe(true);
      }
    } catch (fault) {
      throw new Error(`seed ${seed}, after: ${chaos.done.slice(-8).join("; ")}`, { cause: fault });
    }
  },
);

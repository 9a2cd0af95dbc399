/** Time and connections that do only what a test makes them do. */
import { setImmediate } from "node:timers/promises";
import type { Link, LinkOptions, OpenLink } from "../../src/link/edge-link.ts";
import type { CancelTimer, Timers } from "../../src/process/timers.ts";

/** Timers that stand still until they are advanced. */
export class DrivenTimers implements Timers {
  nowMs = 0;
  readonly #wishes = new Set<{ readonly atMs: number; readonly what: () => void }>();

  /** Wishes that are neither fulfilled nor withdrawn. */
  get pendingCount(): number {
    return this.#wishes.size;
  }

  after(delayMs: number, what: () => void): CancelTimer {
    const wish = { atMs: this.nowMs + delayMs, what };
    this.#wishes.add(wish);
    return () => this.#wishes.delete(wish);
  }

  /** Lets time pass, and what that brings about come to rest. */
  async advance(ms: number): Promise<void> {
    const endMs = this.nowMs + ms;
    for (;;) {
      await setImmediate();
      const [next] = [...this.#wishes].toSorted((a, b) => a.atMs - b.atMs);
      if (next === undefined || next.atMs > endMs) break;
      this.#wishes.delete(next);
      this.nowMs = next.atMs;
      next.what();
    }
    this.nowMs = endMs;
  }
}

/** The other end of one link. */
export class DrivenLink implements Link {
  isOpen = false;
  isStarted = false;
  readonly sent: object[] = [];
  /** How often the connection was called good. */
  confirmCount = 0;
  /** As its user wants it; null until it says so. */
  heartbeatMs: number | null = null;
  readonly dropReasons: string[] = [];
  readonly #options: LinkOptions<unknown>;

  constructor(options: LinkOptions<unknown>) {
    this.#options = options;
  }

  get path(): string {
    return this.#options.url.pathname;
  }

  start(): void {
    this.isStarted = true;
    this.isOpen = true;
    this.#options.onOpen();
  }

  /** Connects once more after it was dropped. */
  reopen(): void {
    this.isOpen = true;
    this.#options.onOpen();
  }

  stop(): void {
    this.isStarted = false;
    this.#close();
  }

  send(message: object): void {
    if (this.isOpen) this.sent.push(message);
  }

  ask(message: object): void {
    this.send(message);
  }

  beatEvery(intervalMs: number): void {
    this.heartbeatMs = intervalMs;
  }

  confirm(): void {
    this.confirmCount += 1;
  }

  drop(why = ""): void {
    this.dropReasons.push(why);
    this.#close();
  }

  /** The edge ends the connection for this reason. */
  refuse(code: string): void {
    this.#options.onRefused?.(code);
    this.drop(code);
  }

  /** What the edge says; it must be readable. */
  receive(message: object): void {
    const parsed = this.#options.parse(JSON.stringify(message));
    if (!parsed.ok) throw new Error(parsed.refusal);
    this.#options.onMessage(parsed.value);
  }

  #close(): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    this.#options.onClose();
  }
}

/** Makes driven links, and keeps them for the test in the order they were made. */
export function drivenLinks(): { openLink: OpenLink; links: DrivenLink[] } {
  const links: DrivenLink[] = [];
  const openLink: OpenLink = (options) => {
    const link = new DrivenLink(options as LinkOptions<unknown>);
    links.push(link);
    return link;
  };
  return { openLink, links };
}

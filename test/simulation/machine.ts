/**
 * A machine: its clocks, and whatever runs on it for a while.
 *
 * The monotonic clock runs a little fast or slow and halts while the machine is suspended; the
 * wall clock goes on and may be set. Timers follow the monotonic clock, as those of Linux do.
 * A paused process (SIGSTOP) neither hears nor sees its timers; the kernel beneath it goes on.
 */
import type { ClockReading } from "../../src/core/lease-term.ts";
import type { CancelTimer, Timers } from "../../src/process/timers.ts";
import type { Happening, Timeline } from "./timeline.ts";

/** Unix time at which every run begins. */
export const START_UNIX_MS = 1_790_000_000_000;
const FIRST_MONOTONIC_MS = 1_000_000;

interface Timer {
  readonly dueMonotonicMs: number;
  readonly what: () => void;
  happening: Happening | null;
}

/** Clocks and timers of one machine. */
export class Machine {
  readonly name: string;
  /** Without power. Its clocks go on, as if it had been on all the time. */
  isOff = false;
  /** When its wall clock was set last, or its kernel did not listen; true time. */
  troubledAtMs = -Infinity;
  readonly #timeline: Timeline;
  /** How fast its clocks run. */
  readonly #rate: number;
  #suspendedAtMs: number | null = null;
  #suspendedForMs = 0;
  #wallOffsetMs: number;
  readonly #timers = new Set<Timer>();
  /** What arrived while it was suspended. */
  #late: (() => void)[] = [];

  constructor(name: string, timeline: Timeline, rate: number, wallOffsetMs: number) {
    this.name = name;
    this.#timeline = timeline;
    this.#rate = rate;
    this.#wallOffsetMs = wallOffsetMs;
  }

  get isSuspended(): boolean {
    return this.#suspendedAtMs !== null;
  }

  /** True time; null while it is awake. */
  get suspendedAtMs(): number | null {
    return this.#suspendedAtMs;
  }

  get trueMs(): number {
    return this.#timeline.nowMs;
  }

  /** Both clocks, in milliseconds. */
  clock(): ClockReading {
    return { monotonicMs: this.monotonicMs(), wallMs: this.wallMs() };
  }

  monotonicMs(): number {
    const now = this.#suspendedAtMs ?? this.#timeline.nowMs;
    return FIRST_MONOTONIC_MS + (now - this.#suspendedForMs) * this.#rate;
  }

  wallMs(): number {
    return START_UNIX_MS + this.#wallOffsetMs + this.#timeline.nowMs * this.#rate;
  }

  /** How far the wall clock was set off. */
  get wallOffsetMs(): number {
    return this.#wallOffsetMs;
  }

  setWall(byMs: number): void {
    this.#wallOffsetMs += byMs;
    this.trouble();
  }

  /** True time left until the monotonic clock shows this, if it is not suspended meanwhile. */
  untilMonotonic(dueMs: number): number {
    return Math.max(0, dueMs - this.monotonicMs()) / this.#rate;
  }

  /** That moment itself, by which timers keep the order in which they are due, whenever they were set. */
  #whenMonotonic(dueMs: number): number {
    return (dueMs - FIRST_MONOTONIC_MS) / this.#rate + this.#suspendedForMs;
  }

  /** True time left until the wall clock shows this, if it is not set meanwhile. */
  untilWall(dueMs: number): number {
    return Math.max(0, dueMs - this.wallMs()) / this.#rate;
  }

  /** Something is wrong with it that its host suffers from. */
  trouble(): void {
    this.troubledAtMs = this.#timeline.nowMs;
  }

  suspend(): void {
    if (this.#suspendedAtMs !== null) return;
    this.#suspendedAtMs = this.#timeline.nowMs;
    for (const timer of this.#timers) {
      if (timer.happening !== null) timer.happening.what = null;
      timer.happening = null;
    }
  }

  resume(): void {
    if (this.#suspendedAtMs === null) return;
    this.#suspendedForMs += this.#timeline.nowMs - this.#suspendedAtMs;
    this.#suspendedAtMs = null;
    for (const timer of this.#timers) this.#arm(timer);
    const late = this.#late;
    this.#late = [];
    // Before anything can come that was sent later.
    for (const what of late) what();
  }

  /** Does something now, or when the machine is awake again. */
  whenAwake(what: () => void): void {
    if (this.isSuspended) this.#late.push(what);
    else what();
  }

  after(delayMs: number, what: () => void): CancelTimer {
    return this.at(this.monotonicMs() + delayMs, what);
  }

  /** When the monotonic clock shows this; what is due at one moment comes in the order of asking. */
  at(dueMonotonicMs: number, what: () => void): CancelTimer {
    const timer: Timer = { dueMonotonicMs, what, happening: null };
    this.#timers.add(timer);
    if (!this.isSuspended) this.#arm(timer);
    return () => {
      this.#timers.delete(timer);
      if (timer.happening !== null) timer.happening.what = null;
    };
  }

  #arm(timer: Timer): void {
    timer.happening = this.#timeline.at(this.#whenMonotonic(timer.dueMonotonicMs), () => {
      this.#timers.delete(timer);
      timer.what();
    });
  }
}

/** A process on a machine, from its start until it ends or is killed. */
export class Process implements Timers {
  readonly machine: Machine;
  #isOver = false;
  #pausedAtMs: number | null = null;
  #pausedAtMonotonicMs = 0;
  #pausedForMs = 0;
  #late: (() => void)[] = [];
  readonly #timers = new Set<CancelTimer>();
  readonly #onEnd = new Set<() => void>();

  constructor(machine: Machine) {
    this.machine = machine;
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  get isPaused(): boolean {
    return this.#pausedAtMs !== null;
  }

  /** Since when it has done nothing, in true time; null while it can. */
  get stoppedAtMs(): number | null {
    return this.#pausedAtMs ?? this.machine.suspendedAtMs;
  }

  /** A clock that stands while the process can do nothing. */
  runningMs(): number {
    return (this.isPaused ? this.#pausedAtMonotonicMs : this.machine.monotonicMs()) - this.#pausedForMs;
  }

  /** Whether it can do anything now. */
  get isRunning(): boolean {
    return !this.#isOver && this.stoppedAtMs === null;
  }

  /** Hands something in: now, or as soon as the process can; never if it ends before. */
  run(what: () => void): void {
    if (this.#isOver) return;
    if (this.machine.isSuspended) this.machine.whenAwake(() => this.run(what));
    else if (this.isPaused) this.#late.push(what);
    else what();
  }

  /** As the runtime's: in whole milliseconds, and never at once, so that whoever waits for a clock gets on. */
  after(delayMs: number, what: () => void): CancelTimer {
    if (this.#isOver) return () => {};
    let isWanted = true;
    const cancel = this.machine.after(Math.max(1, Math.trunc(delayMs)), () => {
      this.#timers.delete(cancel);
      this.run(() => {
        if (isWanted) what();
      });
    });
    this.#timers.add(cancel);
    return () => {
      isWanted = false;
      this.#timers.delete(cancel);
      cancel();
    };
  }

  /** Is told once when the process ends, until the returned function is called. */
  onEnd(tell: () => void): () => void {
    this.#onEnd.add(tell);
    return () => this.#onEnd.delete(tell);
  }

  pause(): void {
    if (this.isPaused) return;
    this.#pausedAtMs = this.machine.trueMs;
    this.#pausedAtMonotonicMs = this.machine.monotonicMs();
  }

  /** Goes on; what came meanwhile comes now, in the order in which it came. */
  continue(): void {
    if (!this.isPaused) return;
    // Its machine hears first what has come to it since.
    if (this.machine.isSuspended) return this.machine.whenAwake(() => this.continue());
    this.#pausedForMs += this.machine.monotonicMs() - this.#pausedAtMonotonicMs;
    this.#pausedAtMs = null;
    const late = this.#late;
    this.#late = [];
    for (const what of late) this.run(what);
  }

  /** Ends it at once; nothing of it happens any more. */
  kill(): void {
    this.#isOver = true;
    this.#late = [];
    for (const cancel of this.#timers) cancel();
    this.#timers.clear();
    for (const tell of this.#onEnd) tell();
    this.#onEnd.clear();
  }
}

/**
 * A model of the laws that is as small as can be, for histories that break none: one address whose
 * table gives blocks away by its own drifting clock, machines that count their time from before they
 * asked, and a network that loses, delays, overtakes and repeats. It shares nothing with ipshard.
 */
import type { SeenBlock, Sighting } from "./history.ts";

export const IP = "198.51.100.7";
export const LEASE_MS = 600_000;
export const QUARANTINE_MS = 120_000;
/** Ports that are nobody's, for whoever continues a history. */
export const SPARE = { base: 32_768, order: 8 };
const PLACES = [
  { base: 1024, order: 6 },
  { base: 1088, order: 6 },
  { base: 2048, order: 8 },
  { base: 4096, order: 12 },
];
const NAMES = ["a", "b", "c"];
/** What the clock may be set forward by in one history, so that the quarantine bears it. */
const MOST_FORWARD_MS = 80_000;
/** And how far back it may ever be. */
const MOST_BACKWARD_MS = 60_000;
const LONGEST_STEP_MS = 130_000;

/** One thing that happens; each number is a choice, taken modulo what there is to choose from. */
export interface Step {
  readonly kind:
    | "want"
    | "renew"
    | "release"
    | "arrive"
    | "echo"
    | "lose"
    | "send"
    | "reply"
    | "set"
    | "start";
  readonly pick: number;
  readonly more: number;
  readonly waitMs: number;
}

interface Place {
  readonly base: number;
  readonly order: number;
  epoch: number;
  holder: string | null;
  last: string | null;
  /** By the address's clock. */
  endsMs: number;
  freeMs: number;
}

interface Machine {
  readonly name: string;
  readonly rate: number;
  blocks: readonly SeenBlock[];
  /** By its own clock. */
  endsMs: number;
  /** Answers to what it asked before are old. */
  lastAsk: number;
  hasAsked: boolean;
  readonly given: Set<number>;
}

interface Ask {
  readonly number: number;
  readonly machine: Machine;
  readonly want: boolean;
  readonly release: number | null;
  /** By its machine's clock. */
  readonly atMs: number;
}

interface Answer {
  readonly ask: Ask;
  readonly blocks: readonly SeenBlock[];
  readonly granted: SeenBlock | null;
}

/** Does what the steps say, as far as the laws let it, and writes down what an outsider sees. */
export class LawfulModel {
  readonly sightings: Sighting[] = [];
  atMs = 0;
  readonly #addressRate: number;
  readonly #machines: readonly Machine[];
  readonly #places: readonly Place[];
  readonly #asks: Ask[] = [];
  readonly #answers: Answer[] = [];
  readonly #granted = new Map<number, number>();
  readonly #lastSeen = new Map<string, number>();
  #epoch = 0;
  #askCount = 0;
  #offsetMs = 0;
  #forwardMs = 0;

  /** `drifts` are in thousandths, within ±10: the address's, then the machines'. */
  constructor(drifts: readonly number[]) {
    const [addressDrift = 0, ...machineDrifts] = drifts;
    this.#addressRate = 1 + addressDrift / 1000;
    this.#machines = NAMES.map((name, at) => ({
      name,
      rate: 1 + (machineDrifts[at] ?? 0) / 1000,
      blocks: [],
      endsMs: -Infinity,
      lastAsk: 0,
      hasAsked: false,
      given: new Set(),
    }));
    this.#places = PLACES.map(({ base, order }) => ({
      base,
      order,
      epoch: 0,
      holder: null,
      last: null,
      endsMs: 0,
      freeMs: 0,
    }));
    this.see({ type: "promised", ip: IP, leaseDurationMs: LEASE_MS, quarantineMs: QUARANTINE_MS, atMs: 0 });
  }

  see(sighting: Sighting): void {
    this.sightings.push(sighting);
  }

  do({ kind, pick, more, waitMs }: Step): void {
    this.wait(waitMs % LONGEST_STEP_MS);
    const machine = this.#machines[pick % this.#machines.length]!;
    if (kind === "want") this.#ask(machine, true, null);
    else if (kind === "renew") this.#ask(machine, false, null);
    else if (kind === "release") this.#release(machine, more);
    else if (kind === "arrive") this.#arrive(pick, true);
    else if (kind === "echo") this.#arrive(pick, false);
    else if (kind === "lose") this.#lose(pick);
    else if (kind === "send") this.#send(machine, more);
    else if (kind === "reply") this.#reply(pick, more);
    else if (kind === "set") this.#set((more % 60_001) - 30_000);
    else this.#start(machine);
  }

  wait(forMs: number): void {
    this.atMs += forMs;
    const nowMs = this.#addressMs();
    for (const place of this.#places) if (place.holder !== null && nowMs >= place.endsMs) this.#end(place);
  }

  /** Faults end, and each machine sends once more: the model's whole life after the steps. */
  calm(): void {
    this.#asks.length = 0;
    this.#answers.length = 0;
    this.see({
      atMs: this.atMs,
      type: "calm",
      machines: NAMES,
      leastHosts: NAMES.length,
      boundMs: 2 * (LEASE_MS + QUARANTINE_MS),
    });
    // All that was held lapses, and then is free.
    this.wait(LEASE_MS * 1.02 + MOST_FORWARD_MS + MOST_BACKWARD_MS);
    this.wait(QUARANTINE_MS * 1.02 + MOST_FORWARD_MS + MOST_BACKWARD_MS);
    for (const machine of this.#machines) {
      this.#ask(machine, true, null);
      this.#arrive(this.#asks.length + this.#answers.length - 1, true);
      this.#arrive(this.#asks.length + this.#answers.length - 1, true);
      this.#send(machine, 0);
    }
  }

  #addressMs(): number {
    return this.atMs * this.#addressRate + this.#offsetMs;
  }

  #end(place: Place): void {
    place.last = place.holder;
    place.holder = null;
    place.freeMs = this.#addressMs() + QUARANTINE_MS;
  }

  #ask(machine: Machine, want: boolean, release: number | null): void {
    this.#askCount += 1;
    machine.lastAsk = this.#askCount;
    machine.hasAsked = true;
    const ask = { number: this.#askCount, machine, want, release, atMs: this.atMs * machine.rate };
    this.#asks.push(ask);
    this.see({ atMs: this.atMs, type: "asked", machine: machine.name, ip: IP, requestId: `q${ask.number}` });
  }

  /** The host is silent on the block before it asks. */
  #release(machine: Machine, more: number): void {
    const block = machine.blocks[more % (machine.blocks.length || 1)];
    if (!block) return;
    machine.given.add(block.epoch);
    this.#ask(machine, false, block.epoch);
  }

  /** A message arrives out of order; it may arrive again unless it is taken. */
  #arrive(pick: number, isTaken: boolean): void {
    const count = this.#asks.length + this.#answers.length;
    if (count === 0) return;
    const at = pick % count;
    if (at < this.#asks.length) {
      const ask = this.#asks[at]!;
      if (isTaken) this.#asks.splice(at, 1);
      this.#answer(ask);
    } else {
      const answer = this.#answers[at - this.#asks.length]!;
      if (isTaken) this.#answers.splice(at - this.#asks.length, 1);
      this.#read(answer);
    }
  }

  #lose(pick: number): void {
    const lost = pick % 2 === 0 ? this.#asks : this.#answers;
    if (lost.length > 0) lost.splice(pick % lost.length, 1);
  }

  #answer(ask: Ask): void {
    const { name } = ask.machine;
    // What a machine asked before counts for nothing when it has asked anew.
    if (ask.number < (this.#lastSeen.get(name) ?? 0)) return;
    this.#lastSeen.set(name, ask.number);
    const nowMs = this.#addressMs();
    for (const place of this.#places) {
      if (place.holder !== name) continue;
      if (place.epoch === ask.release) this.#end(place);
      else place.endsMs = Math.max(place.endsMs, nowMs + LEASE_MS);
    }
    if (ask.want && !this.#granted.has(ask.number)) this.#grant(ask, nowMs);
    const blocks = this.#places.filter(({ holder }) => holder === name).map(asBlock);
    const granted = blocks.find(({ epoch }) => epoch === this.#granted.get(ask.number)) ?? null;
    this.#answers.push({ ask, blocks, granted });
  }

  #grant({ machine, number }: Ask, nowMs: number): void {
    const place = this.#places.find(
      ({ holder, last, freeMs }) => holder === null && (last === machine.name || nowMs >= freeMs),
    );
    if (!place) return;
    this.#epoch += 1;
    place.epoch = this.#epoch;
    place.holder = machine.name;
    place.last = machine.name;
    place.endsMs = nowMs + LEASE_MS;
    this.#granted.set(number, this.#epoch);
  }

  #read({ ask, blocks, granted }: Answer): void {
    const { machine, number } = ask;
    this.see({
      atMs: this.atMs,
      type: "told",
      machine: machine.name,
      ip: IP,
      requestId: `q${number}`,
      leaseDurationMs: LEASE_MS,
      blocks,
      granted,
    });
    // An answer that another has overtaken is old.
    if (number < machine.lastAsk) return;
    machine.blocks = blocks.filter(({ epoch }) => !machine.given.has(epoch));
    machine.endsMs = ask.atMs + LEASE_MS;
  }

  #send(machine: Machine, more: number): void {
    const open = machine.blocks.filter(({ epoch }) => !machine.given.has(epoch));
    const block = open[more % (open.length || 1)];
    if (!block || this.atMs * machine.rate >= machine.endsMs) return;
    const port = block.base + (more % 2 ** block.order);
    this.see({ atMs: this.atMs, type: "sent", machine: machine.name, ip: IP, port });
  }

  #reply(pick: number, more: number): void {
    const place = this.#places[pick % this.#places.length]!;
    const port = place.base + (more % 2 ** place.order);
    // A router that is out of touch may hand it to anybody who ever asked, or drop it.
    const asked = this.#machines.filter(({ hasAsked }) => hasAsked).map(({ name }) => name);
    const isAttentive = more % 4 !== 0;
    const former = more % 2 === 0 ? place.last : null;
    const machine = isAttentive ? (place.holder ?? former) : (asked[more % (asked.length + 1)] ?? null);
    this.see({ atMs: this.atMs, type: "steered", router: "r1", isAttentive, ip: IP, port, machine });
  }

  #set(byMs: number): void {
    if (this.#forwardMs + byMs > MOST_FORWARD_MS || this.#offsetMs + byMs < -MOST_BACKWARD_MS) return;
    this.#forwardMs += Math.max(0, byMs);
    this.#offsetMs += byMs;
    this.see({ atMs: this.atMs, type: "clock-set", ip: IP, byMs });
    this.wait(0);
  }

  /** The agent begins anew with nothing; what was under way to it finds nobody who waits for it. */
  #start(machine: Machine): void {
    machine.blocks = [];
    machine.lastAsk = this.#askCount + 1;
    this.see({ atMs: this.atMs, type: "ended", machine: machine.name });
    this.see({ atMs: this.atMs, type: "started", machine: machine.name });
  }
}

function asBlock({ base, order, epoch }: Place): SeenBlock {
  return { base, order, epoch };
}

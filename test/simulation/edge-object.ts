/**
 * A Durable Object's platform: one object with its storage, alarm and sockets, and the instances
 * of its program that come and go.
 *
 * What an instance does between two waits is a turn: written as a whole or not at all, and what it
 * sends leaves only then. An instance may be evicted (its memory goes, its sockets stay), crash
 * (both go), or be superseded: a new one has taken over, and the old one goes on for a while on
 * its own copy, though nothing that it writes is ever confirmed.
 */
import type {
  Acceptance,
  ObjectPlatform,
  ObjectSocket,
} from "../../durable-objects/platform/object-platform.ts";
import type { Outcome } from "../../src/core/outcome.ts";
import type { Restoration } from "../../src/core/recovery.ts";
import type { Connection } from "./connection.ts";
import type { Machine } from "./machine.ts";
import type { Network } from "./network.ts";
import { ObjectAlarm } from "./object-alarm.ts";
import { DISK_FULL, ObjectDatabase } from "./object-database.ts";
import { CONNECTION_CLOSED, CONNECTION_OPEN, makeEnd, type ObjectEnd } from "./object-end.ts";

/** What the platform calls of a program. */
export interface ObjectProgram {
  heard(socket: ObjectSocket, message: string): Promise<void>;
  closed(socket: ObjectSocket): void | Promise<void>;
  alarm(): Promise<void>;
  /** When it wakes up, with the alarm that is set. */
  awake?(alarmAtMs: number | null): void;
}

/** One life of an object's program. */
export interface Instance<Program> {
  readonly object: EdgeObject<Program & ObjectProgram>;
  readonly program: Program;
  readonly database: ObjectDatabase;
  isOver: boolean;
  /** Another instance has taken over. */
  isSuperseded: boolean;
  sockets: ObjectEnd[];
  /** What leaves when the turn is on disk. */
  outbox: (() => void)[];
  /** When what was sent last leaves: nothing overtakes it. */
  lastLeavesAtMs: number;
  /** Calls that have not come to an end. */
  pendingCount: number;
}

/** What goes wrong with an object, until it is set otherwise. */
export interface ObjectTroubles {
  /** Beyond what a commit takes usually. */
  diskDelayMs: number;
  isDiskFull: boolean;
  /** The next turn is lost, with the instance. */
  isNextTurnLost: boolean;
}

/** What an instance meets with. */
export type Fate =
  | "put to sleep"
  | "turn lost"
  | "superseded"
  | "superseded, and has written"
  | "restored from a copy";

/** Why a call of an object came to nothing. */
export const UNREACHABLE = "the object cannot be reached";
const INSTANCE_OVER = "this instance is over";
/** Its stack would take longer to write down than most turns, and nobody reads it. */
const ABORTED = new Error("aborted");
/** The last is what the pool itself says to an operator. */
const FAULTS_MADE_HERE = [DISK_FULL, UNREACHABLE, INSTANCE_OVER, "does not answer"];

/** Of the address or the pool that it is named after. */
export class EdgeObject<Program extends ObjectProgram> {
  readonly name: string;
  readonly troubles: ObjectTroubles = { diskDelayMs: 0, isDiskFull: false, isNextTurnLost: false };
  /** Where it runs now: whose clock it sees. */
  machine: Machine;
  /** The last restore of a backup, as the operator of the edge has made it. */
  restoration: Restoration | null = null;
  /** Told of faults of the program that would stand in an operator's log. */
  onReport: (text: string) => void = () => {};
  /** Told of a fault that nobody made on purpose. */
  onBug: (text: string) => void = () => {};
  /** Told what becomes of an instance. */
  onFate: (what: Fate) => void = () => {};
  /** Told when something was written for good. */
  onWritten: () => void = () => {};
  readonly #network: Network;
  readonly #dirty: Set<Instance<unknown>>;
  readonly #make: (platform: ObjectPlatform, instance: () => Instance<Program>) => Program;
  readonly #database = new ObjectDatabase();
  #instance: Instance<Program> | null = null;
  #sockets: ObjectEnd[] = [];
  readonly #superseded: Instance<Program>[] = [];
  readonly #alarm: ObjectAlarm;

  constructor(
    name: string,
    machine: Machine,
    network: Network,
    dirty: Set<Instance<unknown>>,
    make: (platform: ObjectPlatform, instance: () => Instance<Program>) => Program,
  ) {
    this.name = name;
    this.machine = machine;
    this.#network = network;
    this.#dirty = dirty;
    this.#make = make;
    this.#alarm = new ObjectAlarm(
      network,
      () => this.machine,
      () => this.ring(),
    );
  }

  /** The program as it runs now, for those who look at it from outside; null while it does not. */
  get program(): Program | null {
    return this.#instance?.program ?? null;
  }

  get instance(): Instance<Program> | null {
    return this.#instance;
  }

  /** The disk itself, for those who look at it from outside. */
  get database(): ObjectDatabase {
    return this.#database;
  }

  /** Does something in a turn of the instance that runs, or of a new one; null if none can be made. */
  turn(what: (program: Program) => unknown): Instance<Program> | null {
    const instance = this.#awake();
    if (instance !== null) this.turnOf(instance, what);
    return instance;
  }

  /** As `turn`, of this very instance. */
  turnOf(instance: Instance<Program>, what: (program: Program) => unknown): void {
    if (instance.isOver) return;
    this.#dirty.add(instance as Instance<unknown>);
    const failed = (fault: unknown): void => {
      if (instance.isOver) return;
      this.onReport(`uncaught in ${this.name}: ${reasonOf(fault)}`);
      this.suspect(reasonOf(fault));
    };
    try {
      const done = what(instance.program);
      if (!(done instanceof Promise)) return;
      instance.pendingCount += 1;
      void done.catch(failed).then(() => (instance.pendingCount -= 1));
    } catch (fault) {
      failed(fault);
    }
  }

  /** Ends a turn: what it wrote is kept, and what it sent leaves. */
  endTurn(instance: Instance<Program>): void {
    if (instance.isOver) return;
    if (this.troubles.isNextTurnLost) {
      this.troubles.isNextTurnLost = false;
      this.onFate("turn lost");
      return this.#end(instance, true);
    }
    const hasWritten = instance.database.endTurn(true);
    const { outbox } = instance;
    instance.outbox = [];
    if (!instance.isSuperseded) {
      this.#alarm.keep();
      if (hasWritten) this.onWritten();
    }
    if (instance.isSuperseded && hasWritten) this.onFate("superseded, and has written");
    // The gate of a superseded instance never opens again once it has written something.
    if (instance.isSuperseded && (hasWritten || instance.database.hasWritten)) return;
    const leaveAll = (): void => {
      for (const leave of outbox) leave();
    };
    const { timeline } = this.#network;
    instance.lastLeavesAtMs = Math.max(instance.lastLeavesAtMs, timeline.nowMs + this.troubles.diskDelayMs);
    if (instance.lastLeavesAtMs === timeline.nowMs) leaveAll();
    else {
      timeline.at(instance.lastLeavesAtMs, () => {
        if (!instance.isOver) leaveAll();
      });
    }
  }

  /** Memory goes; sockets stay and wake it up again. Only what has nothing to do is evicted. */
  evict(): void {
    const instance = this.#instance;
    if (instance === null || instance.pendingCount > 0) return;
    if (instance.lastLeavesAtMs > this.#network.timeline.nowMs) return;
    this.#end(instance, false);
    this.onFate("put to sleep");
  }

  /** Memory and sockets go. The next instance may run elsewhere. */
  crash(): void {
    if (this.#instance !== null) this.#end(this.#instance, true);
    else this.#loseSockets(this.#sockets);
  }

  /** A new instance takes over from one that does not know it; ends the old one after this time. */
  supersede(forMs: number): void {
    const old = this.#instance;
    if (old === null) return;
    const fork = new ObjectDatabase();
    this.#database.copyTo(fork);
    fork.endTurn(true);
    fork.hasWritten = false;
    const copy: Instance<Program> = Object.assign(old, { database: fork, isSuperseded: true });
    this.#superseded.push(copy);
    this.onFate("superseded");
    this.#instance = null;
    this.#sockets = [];
    this.#alarm.arm();
    this.#network.timeline.after(forMs, () => this.#end(copy, true));
  }

  /** Everything of it goes, and another that knows this restore begins with what was in a copy. */
  restore(copy: ObjectDatabase, restoration: Restoration): void {
    for (const old of this.#superseded.slice()) this.#end(old, true);
    this.crash();
    this.#database.becomeCopyOf(copy);
    this.#alarm.set(null);
    this.#alarm.keep();
    this.restoration = restoration;
    this.onFate("restored from a copy");
  }

  /** It is started anew, and knows that no slot is unknown. */
  confirmSlots(): void {
    if (this.restoration === null) return;
    this.restoration = { ...this.restoration, areSlotsKnown: true };
    for (const old of this.#superseded.slice()) this.#end(old, true);
    this.crash();
  }

  /** A peer asks to be connected; `answer` is called when that is on disk. */
  accept<Code>(
    connection: Connection,
    connect: (program: Program) => Outcome<Acceptance, Code>,
    answer: (outcome: Outcome<ObjectEnd, Code>) => void,
  ): void {
    const instance = this.#awake();
    if (instance === null) return;
    this.turnOf(instance, (program) => {
      const acceptance = connect(program);
      if (!acceptance.ok) {
        instance.outbox.push(() => answer(acceptance));
        return;
      }
      const end = makeEnd(this, connection, acceptance.value, (from, what) => {
        this.#instanceWith(from)?.outbox.push(what);
      });
      instance.sockets.push(end);
      instance.outbox.push(() => answer({ ok: true, value: end }));
    });
  }

  /** A message has come in on a connection. */
  heard(end: ObjectEnd, text: string): void {
    const instance = this.#instanceWith(end);
    if (instance !== null) this.turnOf(instance, (program) => program.heard(end, text));
  }

  /** The peer's end of a connection is gone, as far as can be told here. */
  peerClosed(end: ObjectEnd): void {
    const instance = this.#instanceWith(end);
    if (instance === null) return;
    this.turnOf(instance, async (program) => {
      try {
        await program.closed(end);
      } finally {
        end.readyState = CONNECTION_CLOSED;
        const at = instance.sockets.indexOf(end);
        if (at !== -1) instance.sockets.splice(at, 1);
      }
    });
  }

  /** Wakes the program as an alarm does, be it due or not. */
  ring(): void {
    this.#alarm.set(null);
    this.turn((program) => program.alarm());
  }

  /** Whether this end is one of the instance that counts, and open. */
  holds(end: ObjectEnd): boolean {
    return end.readyState === CONNECTION_OPEN && this.#sockets.includes(end);
  }

  /** The clock was set, or the object moved: the alarm is due at another moment. */
  clockChanged(): void {
    this.#alarm.arm();
  }

  close(): void {
    this.#database.close();
  }

  /** Something failed: what the simulator did not make fail is a bug. */
  suspect(reason: string): void {
    if (!FAULTS_MADE_HERE.some((made) => reason.includes(made))) this.onBug(`${this.name}: ${reason}`);
  }

  #awake(): Instance<Program> | null {
    const present = this.#instance;
    if (present !== null) return present;
    const database = this.#database;
    const instance = {
      object: this,
      database,
      isOver: false,
      isSuperseded: false,
      sockets: this.#sockets,
      outbox: [],
      lastLeavesAtMs: 0,
      pendingCount: 0,
    } as unknown as Instance<Program> & { program: Program };
    this.#instance = instance;
    this.#dirty.add(instance as unknown as Instance<unknown>);
    try {
      instance.program = this.#make(this.#platformOf(instance), () => instance);
    } catch (fault) {
      // An object that is broken loses its sockets.
      this.onReport(`${this.name} cannot wake up: ${String(fault)}`);
      this.#end(instance, true);
      return null;
    }
    instance.program.awake?.(this.#alarm.atMs);
    return instance;
  }

  #platformOf(instance: Instance<Program>): ObjectPlatform {
    const { timeline, chance } = this.#network;
    const whileAlive = <Result>(what: () => Result): Result => {
      if (instance.isOver) throw new Error(INSTANCE_OVER);
      instance.database.isFull = this.troubles.isDiskFull;
      return what();
    };
    return {
      name: this.name,
      storage: {
        sql: { exec: (query, ...values) => whileAlive(() => instance.database.sql.exec(query, ...values)) },
        transactionSync: (closure) => whileAlive(() => instance.database.transactionSync(closure)),
      },
      restoration: this.restoration,
      nowMs: () => Math.floor(this.machine.wallMs()),
      random: chance.next,
      wait: (delayMs, signal) =>
        new Promise((resolve, reject) => {
          const happening = timeline.after(this.machine.untilWall(this.machine.wallMs() + delayMs), () =>
            this.turnOf(instance, () => resolve()),
          );
          signal?.addEventListener("abort", () => {
            happening.what = null;
            reject(ABORTED);
          });
        }),
      setAlarm: async (atMs) => {
        if (!instance.isSuperseded && !instance.isOver) this.#alarm.set(atMs);
      },
      deleteAlarm: async () => {
        if (!instance.isSuperseded && !instance.isOver) this.#alarm.set(null);
      },
      sockets: (tag) => instance.sockets.filter(({ tags }) => tags.includes(tag)),
      heartbeatAtMs: (socket) => {
        const heardAtMs = (socket as ObjectEnd).connection.heartbeatAtMs();
        return heardAtMs === null ? null : Math.floor(this.machine.wallMs() - timeline.nowMs + heardAtMs);
      },
      keepAwake: (work) => this.turnOf(instance, () => work),
      abort: (reason) => {
        this.suspect(reason);
        this.#end(instance, true);
      },
      report: (text, fault) => {
        if (fault !== undefined && !instance.isSuperseded) this.suspect(`${text}: ${reasonOf(fault)}`);
        this.onReport(fault === undefined ? text : `${text}: ${reasonOf(fault)}`);
      },
    };
  }

  /** Sockets outlive instances, but a superseded one has kept its own. */
  #instanceWith(end: ObjectEnd): Instance<Program> | null {
    const old = this.#superseded.find(({ sockets, isOver }) => !isOver && sockets.includes(end));
    if (old !== undefined) return old;
    return this.#sockets.includes(end) ? this.#awake() : null;
  }

  #end(instance: Instance<Program>, isCrash: boolean): void {
    if (instance.isOver) return;
    instance.isOver = true;
    this.#loseTurn(instance);
    if (this.#instance === instance) this.#instance = null;
    if (isCrash) this.#loseSockets(instance.sockets);
    const at = this.#superseded.indexOf(instance);
    if (at !== -1) this.#superseded.splice(at, 1);
  }

  /** At once: the next instance, which may wake up at the same moment, finds what was kept. */
  #loseTurn(instance: Instance<Program>): void {
    this.onReport(`a turn of ${this.name} is lost, with ${instance.outbox.length} messages`);
    instance.outbox = [];
    instance.database.endTurn(false);
    if (!instance.isSuperseded) this.#alarm.takeBack();
  }

  #loseSockets(sockets: ObjectEnd[]): void {
    for (const end of sockets.splice(0)) {
      end.readyState = CONNECTION_CLOSED;
      end.connection.lostByObject();
    }
  }
}

/** What a fault says of itself. */
export function reasonOf(fault: unknown): string {
  return fault instanceof Error ? fault.message : "something that is no error";
}

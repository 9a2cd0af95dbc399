/**
 * Hosts of a static pool with disks that take their time, under every fault at once: lost, doubled
 * and late messages, lost connections, crashes between any two writes, starts without the edge,
 * clocks that leap by years, and an operator who removes hosts that are gone for good. Law 1 is
 * checked at every step; when the faults stop, everybody who is there has a slot.
 */
import assert from "node:assert/strict";
import { expect, test } from "vitest";
import { SlotRecord, type SlotStore } from "../../src/agent/leasing/slot-record.ts";
import type { Lease } from "../../src/core/lease-commands.ts";
import type { LeaseReply, LeaseRequest } from "../../src/core/messages.ts";
import { pino } from "pino";
import { type FakeHost, World } from "./keeper-world.ts";

const STEPS = 250;
const YEAR = 31_536_000_000;
/** More machines than slots of 4,096 ports, so that those of the removed are needed. */
const MACHINE_COUNT = 20;
const IP = "192.0.2.1";
const SILENT = pino({ level: "silent" });

/** Of one machine; it outlives each agent. What is being written when that ends is written or not. */
class Disk {
  readonly slots = new Map<string, readonly Lease[]>();
}

class Chaos {
  readonly world: World;
  readonly disks = new Map<string, Disk>();
  readonly hosts = new Map<string, FakeHost>();
  readonly done: string[] = [];
  /** Whose machine is gone: nobody will ever start it again. */
  readonly buried = new Set<string>();
  #machineCount = 0;
  #isOver = false;

  constructor(seed: number) {
    const settings = { staticPortsPerHost: 4_096, quarantineMs: 4_000, leaseDurationMs: 10_000 };
    this.world = new World(settings, {}, seed);
    const fate = (): "deliver" | "lose" | "twice" | { delayMs: number } => {
      if (this.#isOver || this.#pick(100) < 80) return "deliver";
      return (["lose", "twice", { delayMs: this.#pick(20_000) }] as const)[this.#pick(3)]!;
    };
    this.world.fateOfRequest = fate;
    this.world.fateOfReply = fate;
    for (let at = 0; at < 6; at += 1) this.#newMachine();
  }

  async step(): Promise<void> {
    const names = [...this.hosts.keys()];
    await this.#trouble(names[this.#pick(names.length)]!);
    await this.#advance(this.#pick(3_000) + 1);
  }

  async calm(): Promise<void> {
    this.#isOver = true;
    for (const [name, host] of this.hosts) {
      if (host.isPaused) host.wake();
      if (host.connection === null) host.connect();
      this.done.push(`calm ${name}`);
    }
    for (let time = 0; time < 60; time += 1) await this.#advance(1_000);
  }

  /** What a disk does takes a turn of the loop, during which nothing else happens. */
  async #advance(ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= 250) {
      this.world.advance(Math.min(250, left));
      await new Promise(setImmediate);
      this.world.assertOneSender();
    }
  }

  #newMachine(): void {
    this.#machineCount += 1;
    const name = `m${this.#machineCount}`;
    this.disks.set(name, new Disk());
    this.#start(name);
  }

  #start(name: string): void {
    const disk = this.disks.get(name)!;
    let isKilled = false;
    const store: SlotStore = {
      of: () => disk.slots,
      keep: async (_pool, ip, slots) => {
        const [isLost, isLate] = [this.#pick(10) === 0 && !this.#isOver, this.#pick(3) === 0];
        if (isLate) await new Promise(setImmediate);
        // Who is killed, or told of a fault, does not know whether it was written.
        const isFailed = isKilled || isLost;
        if (!isFailed || this.#pick(2) === 0) {
          if (slots.length > 0) disk.slots.set(ip, slots);
          else disk.slots.delete(ip);
        }
        if (isFailed) throw new Error("perhaps not written");
      },
    };
    const record = new SlotRecord({ store, pool: "eu", ip: IP, log: SILENT });
    const host = this.world.startAlone(name, record.slots());
    through(host, record, this.world);
    const crash = host.crash.bind(host);
    host.crash = () => {
      isKilled = true;
      crash();
    };
    this.hosts.set(name, host);
    if (this.#pick(2) === 0) host.connect();
  }

  async #trouble(name: string): Promise<void> {
    const host = this.hosts.get(name)!;
    const kind = this.#pick(12);
    this.done.push(`${this.world.timeline.nowMs} ${name} ${kind}`);
    if (host.isPaused) {
      if (kind < 6) host.wake();
    } else if (kind === 0) {
      host.pause();
    } else if (kind === 1 || kind === 2) {
      host.disconnect();
    } else if (kind < 5) {
      if (host.connection === null) host.connect();
    } else if (kind < 7) {
      host.crash();
      this.#start(name);
    } else if (kind === 7) {
      host.wallSkewMs += (this.#pick(2) * 2 - 1) * this.#pick(100 * YEAR);
      host.monotonicSkewMs += this.#pick(YEAR);
    } else if (kind === 8) {
      for (const block of host.ports.blocks.values()) block.flows = this.#pick(3);
      host.ports.report();
    } else if (kind === 9) {
      // The pool takes the address away: the slot is given back, now or when the edge is there.
      host.keeper.drain(this.#pick(3_000));
    } else if (kind === 10) {
      this.#bury(name, host);
    } else if (this.#machineCount < MACHINE_COUNT) {
      this.#newMachine();
    }
  }

  /** A machine burns down, and its operator says so. */
  #bury(name: string, host: FakeHost): void {
    if (this.hosts.size < 4) return;
    host.crash();
    this.hosts.delete(name);
    this.buried.add(name);
    const epochs = this.world.rowsOf(name).map(({ epoch }) => epoch);
    this.world.execute({ type: "remove", host: name, epochs });
  }

  #pick(count: number): number {
    return Math.floor(this.world.random() * count);
  }
}

/** Puts the record of slots between a keeper and its edge, as an agent does. */
function through(host: FakeHost, record: SlotRecord, world: World): void {
  const { keeper } = host;
  const message = keeper.message.bind(keeper);
  keeper.message = (reply: LeaseReply) => record.received(reply, () => message(reply));
  const carry = world.carryRequest.bind(world);
  host.carry = (request: LeaseRequest) => {
    const { connection } = host;
    record.sending(request, () => {
      if (host.connection === connection) carry(host, request);
    });
  };
}

test.each(Array.from({ length: 10 }, (_, index) => index + 1))(
  "[SM3] [SM5] [SM9] one sender per port, and a slot for whoever is there, seed %i",
  async (seed) => {
    const chaos = new Chaos(seed);
    try {
      for (let step = 0; step < STEPS; step += 1) await chaos.step();
      await chaos.calm();
      let slottedCount = 0;
      for (const [name, host] of chaos.hosts) {
        const rows = chaos.world.rowsOf(name).map(({ base, order, epoch }) => ({ base, order, epoch }));
        assert(rows.length <= 1);
        // Who was to give its slot back has, and holds nothing on its disk.
        expect(chaos.disks.get(name)!.slots.get(IP) ?? []).toEqual(rows);
        if (host.eventTypes().includes("drained")) expect(rows).toEqual([]);
        else expect(host.sendable()).toEqual(rows);
        slottedCount += rows.length;
      }
      for (const name of chaos.buried) expect(chaos.world.rowsOf(name)).toEqual([]);
      const waiting = [...chaos.hosts.values()].filter((host) => !host.eventTypes().includes("drained"));
      expect(slottedCount).toBe(Math.min(15, waiting.length));
    } catch (fault) {
      throw new Error(`seed ${seed}, after: ${chaos.done.slice(-8).join("; ")}`, { cause: fault });
    }
  },
);

/**
 * Law 7 for flows of containers. They are the kernel's, so the agent's end is no excuse: what an address has said
 * to one agent of a machine, and that one has told its kernel, holds beyond its end, until the lease's. From then
 * on it holds if the next agent has been told of the same block before. Its machine's end, and an operator who ends
 * the agent so that it gives everything back, are the ends of all.
 */
import { blockContains, type PortBlock } from "../../src/core/port-block.ts";
import { ActedUpon } from "./acted-upon.ts";
import type { TranslatedBreak } from "./containers.ts";
import type { Host } from "./host.ts";
import { Violation } from "./law-checks.ts";
import type { TrackedFlow } from "./translation-table.ts";

/** What a machine was last told of one address, by whichever agent. */
interface Standing {
  blocks: ReadonlyMap<number, PortBlock>;
  /** Until when in true time, by the most careful host. */
  endsAtMs: number;
  readonly actedUpon: ActedUpon;
  /** Since when without a gap: what was open before ended in it, be that noticed later. */
  readonly sinceMs: number;
}

interface Machine {
  readonly standings: Map<string, Standing>;
  /** When it was first told of each block, by address and epoch. */
  readonly firstToldAtMs: Map<string, number>;
}

/** One per run. */
export class TranslatedFlows {
  readonly #nowMs: () => number;
  readonly #machines = new Map<Host, Machine>();
  /** How many comparisons were made that could have failed. */
  readonly counts = { translatedBreaks: 0 };

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  /** A host has read an answer: its blocks, and until when they are its own. */
  told(host: Host, ip: string, endsAtMs: number, blocks: ReadonlyMap<number, PortBlock>): void {
    const machine = this.#of(host);
    const before = machine.standings.get(ip);
    for (const epoch of blocks.keys()) {
      const key = `${ip} ${epoch}`;
      if (!machine.firstToldAtMs.has(key)) machine.firstToldAtMs.set(key, this.#nowMs());
    }
    const actedUpon = before?.actedUpon ?? new ActedUpon();
    actedUpon.told(endsAtMs, host.runningMs);
    machine.standings.set(ip, {
      blocks,
      endsAtMs: Math.max(before?.endsAtMs ?? 0, endsAtMs),
      actedUpon,
      sinceMs: before !== undefined && this.#nowMs() < before.endsAtMs ? before.sinceMs : this.#nowMs(),
    });
  }

  /** A host asks to give a block back. */
  released(host: Host, ip: string, epoch: number): void {
    const standing = this.#of(host).standings.get(ip);
    if (standing === undefined) return;
    standing.blocks = new Map([...standing.blocks].filter(([its]) => its !== epoch));
  }

  /** Its agent has ended, after it had run for so long: what it was told of late its kernel may never hear. */
  ended(host: Host, ranMs: number): void {
    for (const standing of this.#of(host).standings.values()) {
      // The next agent counts from its own start.
      standing.actedUpon.ended(ranMs);
      standing.endsAtMs = standing.actedUpon.surelyEndsAtMs(0);
    }
  }

  /** Nothing is promised any more: everything is given back, or the machine has ended. */
  left(host: Host): void {
    this.#machines.delete(host);
  }

  /** A flow that was open cannot go on; `isExcused`: by what its host suffers, or its operator does. */
  broken(host: Host, { ip, port, openedAtMs }: TrackedFlow, how: TranslatedBreak, isExcused: boolean): void {
    this.counts.translatedBreaks += 1;
    const { standings, firstToldAtMs } = this.#of(host);
    const standing = standings.get(ip);
    const nowMs = this.#nowMs();
    if (standing === undefined || isExcused || nowMs >= standing.endsAtMs) return;
    if (nowMs >= standing.actedUpon.surelyEndsAtMs(host.runningMs)) return;
    const block = [...standing.blocks].find(([, each]) => blockContains(each, port));
    if (block === undefined || openedAtMs < standing.sinceMs) return;
    if (openedAtMs < (firstToldAtMs.get(`${ip} ${block[0]}`) ?? 0)) return;
    const leftMs = Math.round(standing.endsAtMs - nowMs);
    const what = `a flow of a container of ${host.machine.name} from ${ip}:${port} was ${how}`;
    throw new Violation("law 7", `${what}, and epoch ${block[0]} is its host's for ${leftMs} ms`);
  }

  #of(host: Host): Machine {
    let machine = this.#machines.get(host);
    if (machine === undefined) {
      machine = { standings: new Map(), firstToldAtMs: new Map() };
      this.#machines.set(host, machine);
    }
    return machine;
  }
}

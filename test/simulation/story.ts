/** A history told by hand, for small cases. */
import type { SeenBlock, Sighting } from "./history.ts";
import { judge } from "./second-opinion.ts";

export const IP = "192.0.2.1";
export const LEASE_MS = 600_000;
export const QUARANTINE_MS = 120_000;

type Timeless<Each> = Each extends Sighting ? Omit<Each, "atMs"> : never;

/** A history that is told in order. */
export class Story {
  readonly sightings: Sighting[] = [];

  constructor() {
    this.see(0, { type: "promised", ip: IP, leaseDurationMs: LEASE_MS, quarantineMs: QUARANTINE_MS });
  }

  see(atMs: number, what: Timeless<Sighting>): this {
    this.sightings.push({ ...what, atMs });
    return this;
  }

  asked(atMs: number, machine: string, requestId: string): this {
    return this.see(atMs, { type: "asked", machine, ip: IP, requestId });
  }

  told(
    atMs: number,
    machine: string,
    requestId: string,
    blocks: readonly SeenBlock[],
    { leaseDurationMs = LEASE_MS, granted = null }: Partial<Extract<Sighting, { type: "told" }>> = {},
  ): this {
    return this.see(atMs, { type: "told", machine, ip: IP, requestId, leaseDurationMs, blocks, granted });
  }

  /** A request and its answer within one instant. */
  leased(atMs: number, machine: string, requestId: string, ...blocks: readonly SeenBlock[]): this {
    return this.asked(atMs, machine, requestId).told(atMs, machine, requestId, blocks);
  }

  /** Asks for something and hears nothing: it may have given back what it has. */
  yielded(atMs: number, machine: string): this {
    return this.asked(atMs, machine, `yields at ${atMs}`);
  }

  sent(atMs: number, machine: string, port: number): this {
    return this.see(atMs, { type: "sent", machine, ip: IP, port });
  }

  steered(atMs: number, machine: string | null, port: number, isAttentive = true): this {
    return this.see(atMs, { type: "steered", router: "r1", isAttentive, ip: IP, port, machine });
  }

  clockSet(atMs: number, byMs: number): this {
    return this.see(atMs, { type: "clock-set", ip: IP, byMs });
  }

  started(atMs: number, machine: string): this {
    return this.see(atMs, { type: "started", machine });
  }

  laws(): unknown[] {
    return judge(this.sightings).map(({ law }) => law);
  }
}

export function block(base: number, order: number, epoch: number): SeenBlock {
  return { base, order, epoch };
}

export const first = block(2048, 7, 1);
export const next = block(2048, 7, 2);

/**
 * What the data processes of a host know of its ways out, taken together: one that gets through proves
 * the way for all, and where none does each of them tries by itself. [UP1]
 */
import type { Logger } from "pino";
import { type AddressUplink, isSamePlace, MAX_DOUBTS, type Place } from "../../core/uplink.ts";
import type { Uplinks } from "../leasing/pool-member-options.ts";

/** How places are tried. */
export interface HostUplinksOptions {
  /** Has one of the processes try them. */
  readonly tryOut: (ip: string, places: readonly Place[]) => Promise<readonly Place[]>;
  readonly log: Logger;
}

const UNKNOWN: AddressUplink = { state: "good", destinationCount: 0, failedCount: 0, doubts: [] };

/** One per agent. */
export class HostUplinks implements Uplinks {
  onChange: (() => void) | null = null;
  readonly #options: HostUplinksOptions;
  /** By process and address. */
  readonly #heard = new Map<number, ReadonlyMap<string, AddressUplink>>();
  #ejected: ReadonlySet<string> = new Set();

  constructor(options: HostUplinksOptions) {
    this.#options = options;
  }

  /** A process has said how its ways out look. */
  heard(part: number, uplinks: readonly (readonly [ip: string, uplink: AddressUplink])[]): void {
    const ips = uplinks.map(([ip]) => ip);
    const before = ips.map((ip) => this.of(ip).state);
    this.#heard.set(part, new Map(uplinks));
    if (ips.some((ip, at) => this.of(ip).state !== before[at])) this.onChange?.();
  }

  /** A process has ended. */
  forget(part: number): void {
    this.#heard.delete(part);
  }

  of(ip: string): AddressUplink {
    const heard = [...this.#heard.values()].flatMap((uplinks) => uplinks.get(ip) ?? []);
    // A process that has dialled nothing has no opinion.
    const judging = heard.filter(
      ({ state, destinationCount }) => state === "suspect" || destinationCount > 0,
    );
    if (judging.length === 0) return heard[0] ?? UNKNOWN;
    const isSuspect = judging.every(({ state }) => state === "suspect");
    const doubts: Place[] = [];
    for (const place of judging.flatMap((uplink) => uplink.doubts)) {
      if (doubts.length < MAX_DOUBTS && !doubts.some((other) => isSamePlace(other, place)))
        doubts.push(place);
    }
    return {
      state: isSuspect ? "suspect" : "good",
      destinationCount: Math.max(...judging.map(({ destinationCount }) => destinationCount)),
      failedCount: Math.max(...judging.map(({ failedCount }) => failedCount)),
      doubts,
    };
  }

  tryOut(ip: string, places: readonly Place[]): Promise<readonly Place[]> {
    return this.#options.tryOut(ip, places);
  }

  ejected(ips: readonly string[]): void {
    for (const ip of ips) {
      if (this.#ejected.has(ip)) continue;
      this.#options.log.error(
        { ip, code: "uplink-dead" },
        `other hosts reach what this one cannot from ${ip}: it gets no requests there until it does`,
      );
    }
    this.#ejected = new Set(ips);
  }

  /** For the status. */
  describe(ips: readonly string[]): readonly Record<string, unknown>[] {
    return ips.map((ip) => {
      const { state, destinationCount, failedCount } = this.of(ip);
      return { ip, uplink: this.#ejected.has(ip) ? "dead" : state, destinationCount, failedCount };
    });
  }
}

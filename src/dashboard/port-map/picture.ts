/** The picture of an address, one pixel for each port; of a change only the units are painted that look other. */
import type { AddressBlock, AddressStore } from "../live/address-store.ts";
import type { PoolStore } from "../live/pool-store.ts";
import {
  FIRST_LEASABLE_PORT,
  portCountOf,
  UNIT_COUNT,
  UNIT_PORT_COUNT,
  unitsOf,
} from "../../core/port-block.ts";
import { packed, type PortCell, portColour, type Theme, useLevelOf } from "./colours.ts";
import { PORT_X, PORT_Y, SIDE } from "./hilbert.ts";
import type { HostHues } from "./host-hues.ts";

/** Places along a side of a unit's square. */
const UNIT_SIDE = 8;
const RESERVED_UNITS = FIRST_LEASABLE_PORT / UNIT_PORT_COUNT;
const RESERVED: PortCell = { state: "reserved", hueIndex: -1, useLevel: null, isDimmed: false };
const FREE: PortCell = { state: "free", hueIndex: -1, useLevel: null, isDimmed: false };

/** What hosts tell of the use of an address. */
export interface BlockUses {
  /** Of a block that its host uses, by `useKey`: ports in use. */
  readonly counts: ReadonlyMap<string, number>;
  /** Hosts that tell: a block that such a one does not name is a spare. */
  readonly tellers: ReadonlySet<string>;
}

/** How a table is to be seen. */
export interface Seen {
  readonly theme: Theme;
  /** The host that stands out; null for none. */
  readonly host: string | null;
  readonly uses: BlockUses;
}

/** A rectangle in places. */
export interface Rectangle {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

/** What a unit is painted by. */
export function cellOf(unit: number, block: AddressBlock | null, hues: HostHues, seen: Seen): PortCell {
  if (block === null) return unit < RESERVED_UNITS ? RESERVED : FREE;
  const { state, host, base, order } = block;
  const inUseCount = seen.uses.counts.get(useKey(host, base));
  return {
    state,
    hueIndex: hues.indexOf(host),
    useLevel:
      state === "leased" && inUseCount !== undefined ? useLevelOf(inUseCount, portCountOf(order)) : null,
    isDimmed: seen.host !== null && seen.host !== host,
  };
}

interface KnownUses {
  readonly ip: string;
  readonly version: number;
  readonly uses: BlockUses;
}

// An address changes more often than its hosts tell of its use.
const knownUses = new WeakMap<PoolStore, KnownUses>();

/** What the hosts of an address tell of its use. */
export function usesOf(store: PoolStore, ip: string): BlockUses {
  const known = knownUses.get(store);
  const { version } = store.watchedChanged;
  if (known?.ip === ip && known.version === version) return known.uses;
  const counts = new Map<string, number>();
  const tellers = new Set<string>();
  for (const [host, { blocks }] of store.watchedOf(ip)) {
    if (blocks === undefined) continue;
    tellers.add(host);
    for (const [base, , inUseCount] of blocks) counts.set(useKey(host, base), inUseCount);
  }
  const uses = { counts, tellers };
  knownUses.set(store, { ip, version, uses });
  return uses;
}

/** Names a block of a host. */
export function useKey(host: string, base: number): string {
  return `${host} ${base}`;
}

/** Where a block lies: an aligned run of ports is a square, or two beside each other. */
export function rectangleOf(block: { readonly base: number; readonly order: number }): Rectangle {
  let [left, top, right, bottom] = [SIDE, SIDE, 0, 0];
  for (const unit of unitsOf(block)) {
    const { x, y } = cornerOf(unit);
    left = Math.min(left, x);
    top = Math.min(top, y);
    right = Math.max(right, x + UNIT_SIDE);
    bottom = Math.max(bottom, y + UNIT_SIDE);
  }
  return { left, top, width: right - left, height: bottom - top };
}

/** The picture; it paints onto a canvas of 256 × 256. */
export class Picture {
  readonly #context: CanvasRenderingContext2D;
  readonly #image: ImageData;
  readonly #pixels: Uint32Array;
  readonly #painted: string[] = Array.from({ length: UNIT_COUNT }, () => "");

  constructor(canvas: HTMLCanvasElement) {
    this.#context = canvas.getContext("2d", { willReadFrequently: true })!;
    this.#image = this.#context.createImageData(SIDE, SIDE);
    this.#pixels = new Uint32Array(this.#image.data.buffer);
  }

  /** Paints what has become other, and says how many units that were. */
  paint(store: AddressStore, hues: HostHues, seen: Seen): number {
    let count = 0;
    for (let unit = 0; unit < UNIT_COUNT; unit += 1) {
      const cell = cellOf(unit, store.units[unit] ?? null, hues, seen);
      const looks = `${cell.state} ${cell.hueIndex} ${cell.useLevel} ${cell.isDimmed} ${seen.theme}`;
      if (this.#painted[unit] === looks) continue;
      this.#painted[unit] = looks;
      this.#paintUnit(unit, cell, seen.theme);
      count += 1;
    }
    return count;
  }

  #paintUnit(unit: number, cell: PortCell, theme: Theme): void {
    const end = (unit + 1) * UNIT_PORT_COUNT;
    for (let port = unit * UNIT_PORT_COUNT; port < end; port += 1) {
      const x = PORT_X[port]!;
      const y = PORT_Y[port]!;
      this.#pixels[y * SIDE + x] = packed(portColour(cell, x, y, theme));
    }
    const { x, y } = cornerOf(unit);
    this.#context.putImageData(this.#image, 0, 0, x, y, UNIT_SIDE, UNIT_SIDE);
  }
}

function cornerOf(unit: number): { readonly x: number; readonly y: number } {
  const port = unit * UNIT_PORT_COUNT;
  return { x: PORT_X[port]! & -UNIT_SIDE, y: PORT_Y[port]! & -UNIT_SIDE };
}

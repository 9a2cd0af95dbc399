/** What a page knows of an address: its table, and which block each of its 1,024 units of 64 ports is in. */
import type { AnswerOf } from "../../api/edge-api.ts";
import type { AddressSight } from "../../core/live-view.ts";
import { UNIT_COUNT, unitsOf } from "../../core/port-block.ts";
import { Signal } from "../parts/signal.ts";
import { LinkStanding } from "./link-standing.ts";

/** As `GET /v1/ips/{ip}` answers. */
export type Address = AnswerOf<"getIp">;
export type AddressBlock = Address["blocks"][number];
export type AddressRest = Omit<Address, "blocks">;

/** The store; `heard` takes the messages of the address's object. */
export class AddressStore extends LinkStanding {
  readonly ip: string;
  /** By epoch. */
  readonly blocks = new Map<number, AddressBlock>();
  /** Of each unit its block, if it is in one. */
  readonly units: (AddressBlock | null)[] = Array.from({ length: UNIT_COUNT }, () => null);
  rest: AddressRest | null = null;
  readonly changed = new Signal();

  constructor(ip: string) {
    super();
    this.ip = ip;
  }

  heard(message: unknown): void {
    const sight = message as AddressSight<Address>;
    if (sight.type === "address") {
      const { blocks, ...rest } = sight.address;
      for (const block of this.blocks.values()) this.#forget(block);
      for (const block of blocks) this.#put(block);
      this.rest = rest;
    } else if (sight.type === "address-change") {
      for (const epoch of sight.goneEpochs) this.#forget(this.blocks.get(epoch));
      // What has become smaller leaves its ports before another takes them.
      for (const { epoch } of sight.blocks) this.#forget(this.blocks.get(epoch));
      for (const block of sight.blocks) this.#put(block);
      this.rest = sight.rest;
    } else return;
    this.changed.touch();
  }

  #put(block: AddressBlock): void {
    this.blocks.set(block.epoch, block);
    for (const unit of unitsOf(block)) this.units[unit] = block;
  }

  #forget(block: AddressBlock | undefined): void {
    if (block === undefined) return;
    this.blocks.delete(block.epoch);
    for (const unit of unitsOf(block)) if (this.units[unit]?.epoch === block.epoch) this.units[unit] = null;
  }
}

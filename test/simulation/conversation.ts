/** What a host or a router says to the edge and hears from it, for what is met on the way. */
import type { LeaseReply, LeaseRequest, PoolReply, RouterReply } from "../../src/core/messages.ts";
import { type Meet, meetNamed } from "./transitions.ts";

/** Of one machine with one object. */
export class Conversation {
  readonly #meet: Meet;
  #requestIds = new Set<string>();
  #last: LeaseRequest | null = null;
  #held: readonly number[] = [];
  #ipCount = 0;

  constructor(meet: Meet) {
    this.#meet = meet;
  }

  /** A host asks an address. */
  asked(request: LeaseRequest): void {
    const { type, requestId } = request;
    this.#meet(this.#requestIds.has(requestId) ? `host: ${type}, said again` : `host: ${type}`);
    this.#requestIds.add(requestId);
    this.#last = request;
  }

  /** A host hears from an address. */
  told(reply: LeaseReply): void {
    if (reply.type === "changed") return this.#meet("host: hears of new settings");
    if (reply.requestId !== this.#last?.requestId) return this.#meet("host: hears a late answer");
    if (reply.type === "refused") return meetNamed(`host: ${reply.code}`, this.#meet);
    const epochs = reply.leases.map(({ epoch }) => epoch);
    const released = this.#last.type === "release" ? this.#last.epoch : null;
    if (this.#held.some((epoch) => epoch !== released && !epochs.includes(epoch))) {
      this.#meet("host: loses a block that it did not give back");
    }
    this.#held = epochs;
  }

  /** A host hears from its pool. */
  named(reply: PoolReply): void {
    if (reply.type === "refused") return meetNamed(`host in its pool: ${reply.code}`, this.#meet);
    if (reply.type !== "enlisted") return;
    if (reply.ips.length < this.#ipCount) this.#meet("host in its pool: loses an address");
    if (reply.ips.length > this.#ipCount) this.#meet("host in its pool: gets an address");
    this.#ipCount = reply.ips.length;
  }
}

/** A router hears from its pool. */
export function meetReply(reply: RouterReply, meet: Meet): void {
  if (reply.type === "refused") return meetNamed(`router: ${reply.code}`, meet);
  if (reply.type === "table") return meet("router: reads the table");
  const { put, withdraw, addIps, removeIps, nextHops } = reply.change;
  if (put.length > 0) meet("router: reads a grant");
  if (withdraw.length > 0) meet("router: reads an end");
  if (addIps.length > 0) meet("router: reads of a new address");
  if (removeIps.length > 0) meet("router: reads that an address is gone");
  if (nextHops.length > 0) meet("router: reads where a host is");
}

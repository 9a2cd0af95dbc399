/**
 * What a run is for: every change of state that something must bear. Some seed of many should meet
 * each; what none has met was not tried, whatever held.
 */
import type { LeaseRefusal } from "../../src/core/lease-commands.ts";
import type { LeaseRequest, PoolRefusal, RouterRefusal, RouterRequest } from "../../src/core/messages.ts";

/** All that an honest host, in its time, is refused. */
const LEASE_REFUSALS = [
  "host-already-present",
  "stale-session",
  "stale-epoch",
  "share-exceeded",
  "address-exhausted",
  "steering-pending",
  "ip-retiring",
  "holdings-wanted",
  "address-recovering",
] as const satisfies LeaseRefusal[];
const LEASE_REQUESTS = ["join", "renew", "acquire", "release"] as const satisfies LeaseRequest["type"][];
const POOL_REFUSALS = ["host-already-present"] as const satisfies PoolRefusal[];
/**
 * Not `resync`: it asks for what is missing between two numbers. A connection loses nothing in its middle,
 * and the pool ends one on which it could not say all. [ST1] [DO6]
 */
const ROUTER_REQUESTS = ["enroll", "acknowledge"] as const satisfies RouterRequest["type"][];
const ROUTER_REFUSALS = ["router-already-present"] as const satisfies RouterRefusal[];

/** Each by its name; those with a colon in common are of one thing. */
export const TRANSITIONS = [
  "block: never used, granted",
  "block: granted to its last holder",
  "block: granted to another host",
  "block: granted to a former holder, after another",
  "block: granted to another instance of a former holder",
  "block: granted, and not known to routers yet",
  "block: released",
  "block: expired",
  "block: free again",
  "address: serving",
  "address: retiring",
  "address: left",
  "address: serving again",
  "address: hears of routers",
  ...LEASE_REQUESTS.map((type) => `host: ${type}` as const),
  ...LEASE_REQUESTS.map((type) => `host: ${type}, said again` as const),
  ...LEASE_REFUSALS.map((code) => `host: ${code}` as const),
  "host: hears a late answer",
  "host: hears of new settings",
  "host: loses a block that it did not give back",
  ...POOL_REFUSALS.map((code) => `host in its pool: ${code}` as const),
  "host in its pool: loses an address",
  "host in its pool: gets an address",
  ...ROUTER_REQUESTS.map((type) => `router: ${type}` as const),
  ...ROUTER_REFUSALS.map((code) => `router: ${code}` as const),
  "router: reads the table",
  "router: reads a grant",
  "router: reads an end",
  "router: reads of a new address",
  "router: reads that an address is gone",
  "router: reads where a host is",
  "routers: a grant goes ahead of one",
  "routers: have all applied it",
  "pool: takes what was published twice",
  "pool: is told of hosts that are missed",
  "object: put to sleep",
  "object: turn lost",
  "object: superseded",
  "object: superseded, and has written",
  "object: restored from a copy",
  "message: lost",
  "message: repeated",
  "clock of an address: set forward",
  "clock of an address: set back",
] as const;

/** One of them. */
export type Transition = (typeof TRANSITIONS)[number];

/** Told of each as often as it happens. */
export type Meet = (transition: Transition) => void;

/** Those that were not met, by all that was counted. */
export function unmet(counts: ReadonlyMap<string, number>): Transition[] {
  return TRANSITIONS.filter((transition) => !counts.has(transition));
}

const NAMES: ReadonlySet<string> = new Set(TRANSITIONS);

/** Meets what has this name, if it is one of them. */
export function meetNamed(name: string, meet: Meet): void {
  if (NAMES.has(name)) meet(name as Transition);
}

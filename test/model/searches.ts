/**
 * What is asked of the model: searches that must find nothing, and variants with a known fault
 * that must be found.
 */

/** The model with some of its faults and parts. */
export interface Search {
  readonly name: string;
  readonly switches: readonly string[];
  /** A little fewer than there are: an empty model, or a fault that never happens, has far fewer. */
  readonly minStateCount: number;
}

/** No leaps of the object's clock, and none of a host's. */
const RIGHT_CLOCKS = ["RIGHT_CLOCKS", "LEAPS=0", "STEPS_BACK=0"];
/** The guard is told in no time, and the network keeps no copies. */
const PLAIN = ["PROMPT", "NO_COPIES"];
const ROUTER = ["ROUTER", "PATIENCE=1", "LEASE=2", "QUARANTINE=1", "UNGUARDED", ...RIGHT_CLOCKS, ...PLAIN];

/** Laws 1, 3 and 5 with every fault at once. Each part of the model must be come to. */
export const EVERYTHING: Search = { name: "every fault", switches: ["EPOCHS=2"], minStateCount: 8_000_000 };

/** Laws 1, 3, 5 and 6, within further bounds. */
export const OTHERS: readonly Search[] = [
  {
    name: "clocks, over three grants",
    switches: ["EPOCHS=3", "NO_COPIES"],
    minStateCount: 3_200_000,
  },
  {
    name: "the hold-down between two hosts, over three grants",
    switches: ["EPOCHS=3", "RIGHT_CLOCKS", "HOLD_DOWN"],
    minStateCount: 5_000_000,
  },
  {
    name: "without a guard, in a process that is not paused",
    switches: ["EPOCHS=3", "UNGUARDED", "PROMPT"],
    minStateCount: 2_900_000,
  },
  {
    name: "two hosts, both in full",
    switches: ["EPOCHS=2", "FULL=2", ...RIGHT_CLOCKS, ...PLAIN],
    minStateCount: 1_500_000,
  },
];

/** Laws 4 and 5 with a router. */
export const STEERING: Search = {
  name: "a router",
  switches: ["EPOCHS=2", ...ROUTER],
  minStateCount: 3_300_000,
};

/** Something done wrong, or one fault too many. */
export interface Wrong {
  readonly name: string;
  readonly switches: readonly string[];
  /** The assertion that it must break: one that breaks another has another fault. */
  readonly law: RegExp;
}

/** Laws 1 and 3: somebody sends from a block that another host has, or gets. */
const EXCLUSIVE = /assertion violated .*host\[0\]\.sock/;
const ROUTER_FIRST = /assertion violated .*excused/;
const EPOCHS_RISE = /assertion violated .*kernel/;
const HELD_DOWN = /assertion violated .*quiet/;

/** Mistakes in the protocol. */
export const MISTAKES: readonly Wrong[] = [
  {
    name: "the term is counted from the reply instead of the request",
    switches: ["TERM_FROM_REPLY", ...RIGHT_CLOCKS, ...PLAIN],
    law: EXCLUSIVE,
  },
  {
    name: "the term is counted by the monotonic clock alone",
    switches: ["MONOTONIC_ONLY", "LEAPS=0", ...PLAIN],
    law: EXCLUSIVE,
  },
  {
    name: "the term is counted by the wall clock alone",
    switches: ["WALL_ONLY", "LEAPS=0", ...PLAIN],
    law: EXCLUSIVE,
  },
  {
    name: "there is no guard, and a process is paused",
    switches: ["NO_GUARD", ...RIGHT_CLOCKS, ...PLAIN],
    law: EXCLUSIVE,
  },
  {
    name: "the guard does not look at the wall clock",
    switches: ["GUARD_NO_WALL", "LEAPS=0", ...PLAIN],
    law: EXCLUSIVE,
  },
  { name: "the guard has no timeouts", switches: ["GUARD_NO_TIMEOUT", "LEAPS=0", ...PLAIN], law: EXCLUSIVE },
  {
    name: "there is no quarantine, and the object's clock leaps",
    switches: ["NO_QUARANTINE", "RIGHT_CLOCKS", "STEPS_BACK=0", ...PLAIN],
    law: EXCLUSIVE,
  },
  {
    name: "there is no quarantine, and law 6 asks for one",
    switches: ["NO_QUARANTINE", "HOLD_DOWN", ...RIGHT_CLOCKS, ...PLAIN],
    law: HELD_DOWN,
  },
  {
    name: "the object believes a leap of its clock",
    switches: ["LEAP_BELIEVED", "RIGHT_CLOCKS", "STEPS_BACK=0", ...PLAIN],
    law: EXCLUSIVE,
  },
  {
    name: "an answer leaves before it is on disk",
    switches: ["MEMORY_ONLY", ...RIGHT_CLOCKS, ...PLAIN],
    law: EXCLUSIVE,
  },
  {
    name: "a superseded instance renews",
    switches: ["UNFENCED", ...RIGHT_CLOCKS, ...PLAIN],
    law: /assertion violated .*host\[(0|_pid)\]\.(sock|held)/,
  },
  {
    name: "a block is released before its sockets are reset",
    switches: ["RELEASE_BEFORE_RESET", ...RIGHT_CLOCKS, ...PLAIN],
    law: EXCLUSIVE,
  },
  {
    name: "the session of a request is not checked",
    switches: ["STALE_SESSION", ...RIGHT_CLOCKS, "PROMPT"],
    law: EXCLUSIVE,
  },
  {
    name: "the epoch of a release is not checked",
    switches: ["STALE_EPOCH", ...RIGHT_CLOCKS, "PROMPT"],
    law: EXCLUSIVE,
  },
  {
    name: "no acknowledgement is awaited",
    switches: ["ACK_NOT_AWAITED", "EPOCHS=2", ...ROUTER],
    law: ROUTER_FIRST,
  },
  {
    name: "an answer lists what is not steered yet",
    switches: ["LIST_UNSTEERED", "EPOCHS=2", ...ROUTER],
    law: ROUTER_FIRST,
  },
  {
    name: "the pool takes a publication from the past",
    switches: ["OUTDATED_TAKEN", "EPOCHS=2", ...ROUTER],
    law: EPOCHS_RISE,
  },
];

/** More than the protocol promises to bear: where the bounds of the searches above are. */
export const BEYOND: readonly Wrong[] = [
  {
    name: "both clocks of a host are wrong in one term",
    switches: ["BOTH_CLOCKS", "LEAPS=0", ...PLAIN],
    law: EXCLUSIVE,
  },
  {
    name: "the object's clock leaps three times unseen",
    switches: ["LEAPS=3", "RIGHT_CLOCKS", "STEPS_BACK=0", ...PLAIN],
    law: EXCLUSIVE,
  },
  {
    name: "the wall clock is set back while the guard is being told slowly",
    switches: ["SLOW_TELLING", "LEAPS=0", "NO_COPIES"],
    law: EXCLUSIVE,
  },
];

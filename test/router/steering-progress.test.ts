/** What a router does when the pool speaks, the kernel is slow, or messages are lost. */
import { describe, expect, test } from "vitest";
import { SteeringState } from "../../src/router/feed/steering-progress.ts";
import { change, entry, IPV4, IPV6, nextHopOf, NEXT_HOPS, table } from "./steering-fixture.ts";

const FIRST = entry("h1", 2048, 11, 1);
const SECOND = entry("h2", 4096, 11, 2);

/** A state whose kernel has applied this table. */
function settled(sequence = 1, entries = [FIRST]): SteeringState {
  const state = new SteeringState();
  expect(state.replaced(table(sequence, entries))).toMatchObject([{ type: "repair" }]);
  expect(state.applied()).toEqual([{ type: "acknowledge", sequence }]);
  return state;
}

describe("a table that is a part, of a pool that was restored", () => {
  test("[OC4] [LAW7] takes nothing away that it does not name, and puts nothing older", () => {
    const state = settled(9, [FIRST, { ...SECOND, epoch: 8 }]);
    const third = entry("h3", 8192, 11, 3);
    const actions = state.replaced({ ...table(100, [SECOND, third]), isPartial: true });
    expect(actions).toMatchObject([{ type: "outdated" }, { type: "repair" }]);
    const epochs = () => state.table!.entries.map(({ epoch }) => epoch).toSorted((a, b) => a - b);
    expect(epochs()).toEqual([1, 3, 8]);
    expect(state.applied()).toEqual([{ type: "acknowledge", sequence: 100 }]);
    state.replaced(table(101, [third]));
    expect(epochs()).toEqual([3]);
  });

  test("[OC4] [RT6] leaves the kernel alone of a router that has just started, until the whole comes", () => {
    const state = new SteeringState();
    expect(state.replaced({ ...table(100, [FIRST]), isPartial: true })).toEqual([]);
    expect(state.changed(change(101, { put: [SECOND] }))).toEqual([]);
    expect(state.replaced(table(102, [FIRST, SECOND]))).toMatchObject([{ type: "repair" }]);
  });
});

describe("changes", () => {
  test("[ST2] are acknowledged when the kernel has applied it, and not before", () => {
    const state = settled();
    expect(state.changed(change(2, { put: [SECOND] }))).toEqual([
      {
        type: "apply",
        delta: {
          removed: [],
          added: [{ entry: SECOND, nextHop: NEXT_HOPS[1] }],
          removedIps: [],
          addedIps: [],
        },
      },
    ]);
    expect(state.appliedSequence).toBe(1);
    expect(state.applied()).toEqual([{ type: "acknowledge", sequence: 2 }]);
    expect(state.appliedSequence).toBe(2);
  });

  test("[ST1] with a number missing make it ask for the table, once, and wait for it", () => {
    const state = settled();
    expect(state.changed(change(3, { put: [SECOND] }))).toEqual([{ type: "ask-table" }]);
    expect(state.changed(change(4))).toEqual([]);
    expect(state.replaced(table(4, [FIRST, SECOND]))).toMatchObject([{ type: "repair" }]);
    expect(state.applied()).toEqual([{ type: "acknowledge", sequence: 4 }]);
  });

  test("[ST1] before any table make it ask for one, and until then the kernel is left alone", () => {
    const state = new SteeringState();
    expect(state.changed(change(1))).toEqual([{ type: "ask-table" }]);
    expect(state.doubted()).toEqual([]);
    expect([state.table, state.appliedSequence]).toEqual([null, null]);
  });

  test("[ST1] after a new connection it asks again for a table that never came", () => {
    const state = settled();
    state.changed(change(3));
    state.connected();
    expect(state.changed(change(5))).toEqual([{ type: "ask-table" }]);
  });

  test("[ST1] that come twice are done once, and acknowledged again", () => {
    const state = settled(5);
    expect(state.changed(change(5, { put: [SECOND] }))).toEqual([{ type: "acknowledge", sequence: 5 }]);
    expect(state.table?.entries).toEqual([FIRST]);
  });

  test("[ST2] that come while the kernel is busy are carried out together", () => {
    const state = settled();
    state.changed(change(2, { put: [SECOND] }));
    const third = entry("h1", 6144, 11, 3);
    expect(state.changed(change(3, { put: [third] }))).toEqual([]);
    const moved = entry("h2", 6144, 11, 4);
    const withdrawal = { ip: IPV4, base: 6144, epoch: 3 };
    expect(state.changed(change(4, { withdraw: [withdrawal], put: [moved] }))).toEqual([]);
    const [acknowledged, next] = state.applied();
    expect(acknowledged).toEqual({ type: "acknowledge", sequence: 2 });
    expect(next).toMatchObject({ type: "apply", delta: { removed: [], added: [{ entry: moved }] } });
    expect(state.applied()).toEqual([{ type: "acknowledge", sequence: 4 }]);
  });

  test("[ST1] withdraw before they put, in one step", () => {
    const state = settled();
    const next = entry("h2", 2048, 11, 2);
    const withdraw = [{ ip: IPV4, base: 2048, epoch: 1 }];
    expect(state.changed(change(2, { withdraw, put: [next] }))).toMatchObject([
      { type: "apply", delta: { removed: [{ entry: FIRST }], added: [{ entry: next }] } },
    ]);
  });

  test("[ST1] that put over what is older take its place, though nobody has withdrawn that", () => {
    const state = settled(1, [FIRST, SECOND]);
    const whole = entry("h2", 4096, 12, 3);
    expect(state.changed(change(2, { put: [whole] }))).toMatchObject([
      { type: "apply", delta: { removed: [{ entry: SECOND }], added: [{ entry: whole }] } },
    ]);
    expect(state.table?.entries).toEqual([FIRST, whole]);
  });

  test("[ST3] that put what is held already are no word from the past", () => {
    const state = settled();
    expect(state.changed(change(2, { put: [FIRST] }))).toMatchObject([{ type: "apply" }]);
    expect(state.table?.entries).toEqual([FIRST]);
  });

  test("[ST1] withdraw and remove what is not there without any trouble", () => {
    const state = settled();
    const nowhere = { ip: "192.0.2.77", base: 2048, epoch: 9 };
    const unknown = { ip: IPV4, base: 8192, epoch: 9 };
    expect(state.changed(change(2, { withdraw: [nowhere, unknown], removeIps: [IPV6, nowhere.ip] }))).toEqual(
      [{ type: "apply", delta: { removed: [], added: [], removedIps: [IPV6], addedIps: [] } }],
    );
    expect(state.table?.entries).toEqual([FIRST]);
  });

  test("[ST2] that undo one another while the kernel is busy are nothing to it", () => {
    const state = settled();
    state.changed(change(2, { put: [SECOND] }));
    state.changed(change(3, { removeIps: [IPV6], addIps: ["192.0.2.9"] }));
    state.changed(change(4, { removeIps: ["192.0.2.9"], addIps: [IPV6] }));
    expect(state.applied()).toEqual([
      { type: "acknowledge", sequence: 2 },
      { type: "apply", delta: { removed: [], added: [], removedIps: [], addedIps: [] } },
    ]);
  });

  test.each([
    ["IPv4", { ...NEXT_HOPS[0]!, ipv4: "203.0.113.99" }],
    ["IPv6", { ...NEXT_HOPS[0]!, ipv6: "2001:db8:a::99" }],
  ])("[ST1] of a host's place in %s alone move all that it holds, once", (_family, elsewhere) => {
    const state = settled(1, [FIRST, SECOND]);
    const moved = {
      removed: [{ entry: FIRST, nextHop: NEXT_HOPS[0] }],
      added: [{ entry: FIRST, nextHop: elsewhere }],
    };
    expect(state.changed(change(2, { nextHops: [elsewhere] }))).toMatchObject([
      { type: "apply", delta: moved },
    ]);
    state.applied();
    expect(state.changed(change(3, { nextHops: [elsewhere] }))).toMatchObject([
      { type: "apply", delta: { removed: [], added: [] } },
    ]);
  });

  test("[ST12] of a host whose place nobody knew make what it holds anew", () => {
    const third = entry("h3", 6144, 11, 3);
    const state = settled(1, [FIRST, third]);
    const nextHop = nextHopOf("h3", 3);
    expect(state.changed(change(2, { nextHops: [nextHop] }))).toMatchObject([
      {
        type: "apply",
        delta: { removed: [{ entry: third, nextHop: null }], added: [{ entry: third, nextHop }] },
      },
    ]);
  });

  test("[ST1] of a host's place move all that it holds", () => {
    const state = settled(1, [FIRST, SECOND]);
    const elsewhere = nextHopOf("h1", 9);
    expect(state.changed(change(2, { nextHops: [elsewhere] }))).toMatchObject([
      {
        type: "apply",
        delta: {
          removed: [{ entry: FIRST, nextHop: NEXT_HOPS[0] }],
          added: [{ entry: FIRST, nextHop: elsewhere }],
        },
      },
    ]);
  });

  test("[ST1] add and remove addresses, with what is held of them", () => {
    const state = settled();
    const steps = state.changed(change(2, { addIps: ["192.0.2.9"], removeIps: [IPV4] }));
    expect(steps).toMatchObject([
      {
        type: "apply",
        delta: { removed: [{ entry: FIRST }], added: [], removedIps: [IPV4], addedIps: ["192.0.2.9"] },
      },
    ]);
  });
});

describe("an epoch from the past", () => {
  test("[ST3] does not take the place of a newer entry, whole or in part", () => {
    const state = settled(1, [entry("h1", 2048, 11, 9)]);
    for (const [sequence, order] of [
      [2, 11],
      [3, 8],
      [4, 12],
    ] as const) {
      const old = entry("h2", order === 12 ? 0 : 2048, order, 8);
      expect(state.changed(change(sequence, { put: [old] }))).toContainEqual({
        type: "outdated",
        entry: old,
        heldEpoch: 9,
      });
      state.applied();
    }
    expect(state.table?.entries).toEqual([entry("h1", 2048, 11, 9)]);
  });

  test("[ST3] does not withdraw a newer entry", () => {
    const state = settled(1, [entry("h1", 2048, 11, 9)]);
    state.changed(change(2, { withdraw: [{ ip: IPV4, base: 2048, epoch: 8 }] }));
    expect(state.table?.entries).toHaveLength(1);
  });

  test("[ST3] in a whole table does not either", () => {
    const held = entry("h1", 2048, 11, 9);
    const state = settled(7, [held, SECOND]);
    const old = entry("h2", 2048, 10, 3);
    const actions = state.replaced(table(3, [old, entry("h2", 8192, 11, 4)]));
    expect(actions[0]).toEqual({ type: "outdated", entry: old, heldEpoch: 9 });
    expect(state.table?.entries).toEqual([held, entry("h2", 8192, 11, 4)]);
  });

  test("[ST3] in a whole table does not bring back what is older still", () => {
    const held = entry("h1", 2048, 10, 9);
    const state = settled(7, [held, entry("h1", 3072, 10, 2)]);
    const old = entry("h2", 2048, 11, 5);
    expect(state.replaced(table(3, [old]))[0]).toEqual({ type: "outdated", entry: old, heldEpoch: 9 });
    expect(state.table?.entries).toEqual([held]);
  });
});

describe("a kernel that fails", () => {
  test("[ST2] is not acknowledged, and repaired when it is time", () => {
    const state = settled();
    state.changed(change(2, { put: [SECOND] }));
    state.failed();
    expect(state.changed(change(3, { put: [entry("h1", 6144, 11, 3)] }))).toEqual([]);
    expect(state.appliedSequence).toBe(1);
    const [step] = state.retry();
    expect(step).toMatchObject({ type: "repair", table: { sequence: 3 } });
    expect(state.applied()).toEqual([{ type: "acknowledge", sequence: 3 }]);
  });

  test("[RT10] that has lost what it had applied is repaired, after the step under way", () => {
    const state = settled();
    expect(state.doubted()).toMatchObject([{ type: "repair", table: { sequence: 1 } }]);
    expect(state.applied()).toEqual([{ type: "acknowledge", sequence: 1 }]);
    expect(state.changed(change(2, { put: [SECOND] }))).toMatchObject([{ type: "apply" }]);
    expect(state.doubted()).toEqual([]);
    expect(state.applied()).toMatchObject([
      { type: "acknowledge", sequence: 2 },
      { type: "repair", table: { sequence: 2 } },
    ]);
  });

  test("[ST2] a number of a former table is not acknowledged in a new numbering", () => {
    const state = settled(500);
    state.changed(change(501, { put: [SECOND] }));
    expect(state.replaced(table(3, [FIRST]))).toEqual([]);
    expect(state.appliedSequence).toBeNull();
    const actions = state.applied();
    expect(actions).toMatchObject([{ type: "repair", table: { sequence: 3 } }]);
    expect(state.applied()).toEqual([{ type: "acknowledge", sequence: 3 }]);
  });
});

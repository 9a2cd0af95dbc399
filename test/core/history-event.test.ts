/** What happened, as people are told: kinds of changes, and an order that holds for good. */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { AuditEntry } from "../../src/core/audit.ts";
import { changeEvent } from "../../src/core/change-event.ts";
import {
  EVENT_KINDS,
  type EventPlace,
  type HistoryEvent,
  historyEvent,
  isWanted,
  newestFirst,
  newestOf,
  placeIn,
  placeText,
} from "../../src/core/history-event.ts";

const place: fc.Arbitrary<EventPlace> = fc.record({
  atMs: fc.nat({ max: 5 }),
  source: fc.constantFrom("change", "end", "grant", "note", "restore"),
  number: fc.nat({ max: 5 }),
});
const places = fc.uniqueArray(place, { selector: placeText, maxLength: 40 });

function eventAt(at: EventPlace): HistoryEvent {
  return historyEvent({ ...at, kind: "block-granted", pool: "eu", host: `h${at.number % 2}` });
}

describe("the order of events", () => {
  test("[EV4] has each event once, whatever the size of pages, and however they come together", () => {
    fc.assert(
      fc.property(places, fc.integer({ min: 1, max: 7 }), fc.nat({ max: 5 }), (all, limit, sinceMs) => {
        const events = all.map(eventAt);
        const lists = [events.filter((_, at) => at % 2 === 0), events.filter((_, at) => at % 2 === 1)];
        const read: HistoryEvent[] = [];
        for (;;) {
          const last = read.at(-1);
          const before = last === undefined ? null : placeIn(placeText(last));
          const page = { sinceMs, before, kinds: null, host: null, limit };
          const found = newestOf(
            lists.map((list) => list.filter((event) => isWanted(event, page))),
            limit,
          );
          read.push(...found);
          if (found.length < limit) break;
        }
        expect(read).toEqual(events.filter(({ atMs }) => atMs >= sinceMs).toSorted(newestFirst));
        expect(read.map(({ atMs }) => atMs)).toEqual(read.map(({ atMs }) => atMs).toSorted((a, b) => b - a));
      }),
    );
  });

  test("[EV4] is told by an id, and by nothing else", () => {
    fc.assert(
      fc.property(place, (at) => {
        expect(placeIn(placeText(at))).toEqual(at);
      }),
    );
    for (const text of ["", "1-grant", "1-grant-", "-1-grant-1", "1-grants-1", "1-grant-1 ", "x", "1-1-1"]) {
      expect(placeIn(text), text).toBeNull();
    }
  });

  test("[EV4] is asked for kinds and for a host", () => {
    const event = eventAt({ atMs: 5, source: "grant", number: 1 });
    const page = { sinceMs: 0, before: null, kinds: null, host: null, limit: 1 };
    expect(isWanted(event, { ...page, kinds: ["block-granted", "restored"], host: "h1" })).toBe(true);
    expect(isWanted(event, { ...page, kinds: ["restored"] })).toBe(false);
    expect(isWanted(event, { ...page, host: "h0" })).toBe(false);
  });
});

describe("a change by an administrator", () => {
  const entry: AuditEntry = {
    sequence: 7,
    atMs: 1_000,
    subject: "ada",
    tokenId: "t1",
    route: "putPool",
    given: '{"pool":"eu"}',
    result: "done",
    before: "null",
    after: '{"quarantineMs":1}',
  };
  const kindOf = (changed: Partial<AuditEntry>): string | undefined =>
    changeEvent({ ...entry, ...changed }, "eu")?.kind;

  test("[EV1] is told with who, when, and how it was and is", () => {
    const given = '{"pool":"eu","ip":"192.0.2.1","tags":["a"]}';
    const change = { route: "putIp", given, before: '{"tags":[]}', after: '{"tags":["a"]}' };
    expect(changeEvent({ ...entry, ...change }, "eu")).toEqual({
      atMs: 1_000,
      source: "change",
      number: 7,
      kind: "address-changed",
      pool: "eu",
      ip: "192.0.2.1",
      host: null,
      router: null,
      block: null,
      epoch: null,
      reason: null,
      by: { subject: "ada", tokenId: "t1" },
      before: '{"tags":[]}',
      after: '{"tags":["a"]}',
    });
    expect(changeEvent({ ...entry, subject: null, route: "revoke", after: "1" }, "eu")?.by).toBeNull();
  });

  test("[EV1] is of a kind by its route, and other where it makes something", () => {
    expect(kindOf({})).toBe("pool-made");
    expect(kindOf({ before: '{"quarantineMs":2}' })).toBe("settings-changed");
    expect(kindOf({ route: "putIp" })).toBe("address-added");
    const known: readonly string[] = EVENT_KINDS;
    for (const route of [
      "deleteIp",
      "drainIp",
      "resumeIp",
      "drainHost",
      "resumeHost",
      "putPolicy",
      "putTenant",
    ]) {
      expect(known, route).toContain(kindOf({ route }));
    }
    expect(kindOf({ route: "drainHost", given: '{"host":"h1"}' })).toBe("host-draining");
  });

  test("[EV3] that changed nothing, or has only begun, is none; what was refused is told by its code", () => {
    expect(kindOf({ after: "null", route: "drainHost" })).toBeUndefined();
    expect(kindOf({ result: "begun", route: "deleteHost", after: "null" })).toBeUndefined();
    // A host of which the pool knows nothing any more may have had a slot.
    expect(kindOf({ route: "deleteHost", after: "null" })).toBe("host-removed");
    const refused = changeEvent(
      { ...entry, route: "putPolicy", result: "policy-changed", after: "null" },
      "eu",
    );
    expect(refused).toMatchObject({
      kind: "change-refused",
      reason: "policy-changed",
      after: '{"route":"putPolicy"}',
    });
  });

  test("[EV1] names its address also where what was given was cut", () => {
    const whole = JSON.stringify({ pool: "eu", ip: "192.0.2.1", tags: ["x".repeat(99)] });
    const given = JSON.stringify({ cut: whole.slice(0, 60), length: whole.length });
    expect(changeEvent({ ...entry, route: "putIp", given }, "eu")?.ip).toBe("192.0.2.1");
    expect(changeEvent({ ...entry, route: "putIp", given: '{"cut":7}' }, "eu")?.ip).toBeNull();
  });
});

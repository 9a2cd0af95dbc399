/** The log of changes, on the SQLite of Node. */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import {
  AUDIT_KEPT_MS,
  AuditLog,
  LONGEST_AUDIT_VALUE,
  MOST_AUDIT_ENTRIES,
} from "../../durable-objects/audit/audit-log.ts";
import { AUDIT_TABLE } from "../../durable-objects/audit/audit-schema.ts";
import { differenceOf } from "../../durable-objects/audit/difference.ts";
import { generateKey } from "../../src/wire/keys.ts";
import { signToken } from "../../src/wire/tokens.ts";
import { openNodeDatabase } from "./node-database.ts";

const BY = { subject: "ada", tokenId: "token-1", route: "putThing", given: '{"name":"x"}' };
const CAUSE = { by: BY, what: "put" };

function newLog() {
  const database = openNodeDatabase();
  for (const statement of AUDIT_TABLE) database.sql.exec(statement);
  database.sql.exec("CREATE TABLE thing (name TEXT NOT NULL UNIQUE)");
  const clock = { nowMs: 1_700_000_000_000 };
  return { database, clock, log: new AuditLog(database, () => clock.nowMs) };
}

function count(database: ReturnType<typeof newLog>["database"], table: string): unknown {
  return database.sql.exec(`SELECT count(*) AS count FROM ${table}`).toArray()[0]!["count"];
}

test("[AU1] says who, when, what, and of what has changed how it was and is", () => {
  const { log, clock } = newLog();
  log.change(CAUSE, () => ({
    before: { a: 1, b: { c: [1], d: 2 } },
    after: { a: 1, b: { c: [1, 2], d: 2 } },
  }));
  clock.nowMs += 5;
  log.note({ by: null, what: "revoke" }, "too-many");
  expect(log.entries({ limit: 9 })).toEqual([
    {
      sequence: 1,
      atMs: 1_700_000_000_000,
      subject: "ada",
      tokenId: "token-1",
      route: "putThing",
      given: '{"name":"x"}',
      result: "done",
      before: '{"b":{"c":[1]}}',
      after: '{"b":{"c":[1,2]}}',
    },
    {
      sequence: 2,
      atMs: 1_700_000_000_005,
      subject: null,
      tokenId: null,
      route: "revoke",
      given: "{}",
      result: "too-many",
      before: "null",
      after: "null",
    },
  ]);
});

test("[AU1] has a change and its entry, or neither", () => {
  const { log, database } = newLog();
  const add = (): object => {
    database.sql.exec("INSERT INTO thing (name) VALUES ('a')");
    return { after: "a" };
  };
  log.change(CAUSE, add);
  expect(() => log.change(CAUSE, add)).toThrow("UNIQUE");
  expect([count(database, "thing"), count(database, "audit")]).toEqual([1, 1]);
  database.sql.exec("DELETE FROM thing");
  database.sql.exec(
    "CREATE TRIGGER full BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'there is no room'); END",
  );
  expect(() => log.change(CAUSE, add)).toThrow("there is no room");
  expect([count(database, "thing"), count(database, "audit")]).toEqual([0, 1]);
});

const documents = fc.dictionary(
  fc.constantFrom("a", "b", "__proto__"),
  fc.oneof(
    fc.constant(null),
    fc.integer({ max: 2 }),
    fc.array(fc.integer({ max: 2 }), { maxLength: 2 }),
    fc.dictionary(fc.constantFrom("c", "d"), fc.integer({ min: 0, max: 2 }), { minKeys: 1, maxKeys: 2 }),
  ),
  { maxKeys: 3 },
);

test("[AU2] from how it was and the difference follows how it is", () => {
  fc.assert(
    fc.property(documents, documents, (before, after) => {
      const difference = differenceOf(before, after);
      const isSame = JSON.stringify(sorted(before)) === JSON.stringify(sorted(after));
      expect(difference.before === null && difference.after === null).toBe(isSame);
      expect(sorted(applied(before, difference.before, difference.after))).toEqual(sorted(after));
    }),
    { numRuns: 2_000 },
  );
});

type Members = Record<string, unknown>;

/** What is said to have been goes, and what is said to be comes. */
function applied(value: unknown, before: unknown, after: unknown): unknown {
  if (!isMembers(value)) return after ?? value;
  const [was, is] = [isMembers(before) ? before : {}, isMembers(after) ? after : {}];
  const names = new Set([...Object.keys(value), ...Object.keys(is)]);
  return Object.fromEntries(
    [...names].flatMap((name) => {
      const [had, has] = [Object.hasOwn(was, name), Object.hasOwn(is, name)];
      if (!had && !has) return [[name, value[name]]];
      if (had && !has && !isMembers(was[name])) return [];
      if (!isMembers(value[name]) || (has && !isMembers(is[name]))) return has ? [[name, is[name]]] : [];
      const member = applied(value[name], was[name], is[name]) as Members;
      return !has && Object.keys(member).length === 0 ? [] : [[name, member]];
    }),
  );
}

function isMembers(value: unknown): value is Members {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Empty objects aside: a difference does not tell one from none. */
function sorted(value: unknown): unknown {
  if (!isMembers(value)) return value;
  const members = Object.entries(value).map(([name, member]) => [name, sorted(member)] as const);
  const said = members.filter(([, member]) => !isMembers(member) || Object.keys(member).length > 0);
  return Object.fromEntries(said.toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

test("[AU3] keeps the newest entries, and shows none that is older than it says", () => {
  const { log, clock, database } = newLog();
  database.sql.exec(
    `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${MOST_AUDIT_ENTRIES})
    INSERT INTO audit SELECT i, ${clock.nowMs}, 'ada', NULL, 'r', '{}', 'done', 'null', 'null' FROM n`,
  );
  for (let round = 0; round < 5; round += 1) log.note(CAUSE, "done");
  expect(count(database, "audit")).toBe(MOST_AUDIT_ENTRIES);
  expect(log.entries({ after: 0, limit: 1 })[0]!.sequence).toBe(6);
  clock.nowMs += AUDIT_KEPT_MS;
  expect(log.entries({ limit: 2 })).toHaveLength(2);
  clock.nowMs += 1;
  expect(log.entries({ limit: 2 })).toEqual([]);
  // Several go with each that comes, and the numbers go on.
  for (let round = 0; round < 10; round += 1) log.note(CAUSE, "done");
  expect(count(database, "audit")).toBe(MOST_AUDIT_ENTRIES + 10 - 80);
  expect(log.entries({ limit: 1 })[0]!.sequence).toBe(MOST_AUDIT_ENTRIES + 15);
});

test("[AU3] goes on with its numbers when all that it had is too old", () => {
  const { log, clock, database } = newLog();
  for (let round = 0; round < 3; round += 1) log.note(CAUSE, "done");
  clock.nowMs += 2 * AUDIT_KEPT_MS;
  log.note(CAUSE, "done");
  expect(log.entries({ limit: 9 }).map(({ sequence }) => sequence)).toEqual([4]);
  expect(count(database, "audit")).toBe(1);
});

test("[AU2] cuts what is long, and says so", () => {
  const { log } = newLog();
  const long = "😀".repeat(LONGEST_AUDIT_VALUE);
  log.change({ by: { ...BY, given: JSON.stringify({ long }) }, what: "put" }, () => ({ after: long }));
  const [entry] = log.entries({ limit: 1 });
  for (const text of [entry!.given, entry!.after]) {
    const value = JSON.parse(text) as { cut: string; length: number };
    expect(value.cut.length).toBe(LONGEST_AUDIT_VALUE);
    expect(value.length).toBeGreaterThan(2 * LONGEST_AUDIT_VALUE);
  }
});

test("[AU4] has no token and no private key, wherever they were put", async () => {
  const { log } = newLog();
  const key = await generateKey("issuer");
  const identity = { role: "client", subject: "c", pools: ["p"], expiresAtMs: Date.now() + 60_000 } as const;
  const token = await signToken(identity, key);
  const given = JSON.stringify({ tags: [`Bearer ${token}`], [token]: 1, key });
  const padding = "x".repeat(LONGEST_AUDIT_VALUE - 40);
  log.change({ by: { ...BY, given }, what: "put" }, () => ({
    before: { token, key },
    after: [padding, token],
  }));
  const text = JSON.stringify(log.entries({ limit: 1 }));
  const secrets = [...token.split("."), String(key.d), token.slice(0, 20)];
  expect(secrets.filter((secret) => text.includes(secret))).toEqual([]);
  expect(text).toContain("(a token)");
  expect(text).toContain("(a key)");
});

test("[AU5] is read forwards from an entry, or back from the newest", () => {
  const { log } = newLog();
  for (let round = 0; round < 7; round += 1) log.note(CAUSE, "done");
  const page = (wanted: { after?: number; before?: number }): number[] =>
    log.entries({ ...wanted, limit: 3 }).map(({ sequence }) => sequence);
  expect(page({})).toEqual([5, 6, 7]);
  expect(page({ before: 5 })).toEqual([2, 3, 4]);
  expect(page({ before: 2 })).toEqual([1]);
  expect(page({ after: 0 })).toEqual([1, 2, 3]);
  expect(page({ after: 5 })).toEqual([6, 7]);
  expect(page({ after: 2, before: 4 })).toEqual([3]);
  expect(page({ after: 7 })).toEqual([]);
});

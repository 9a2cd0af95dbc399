/** That a token nears its end is said beforehand, and again, until another is there. */
import type { Logger } from "pino";
import { expect, test } from "vitest";
import { TokenEndWatch } from "../../src/link/token-end-watch.ts";
import type { Timers } from "../../src/process/timers.ts";
import { endOfToken } from "../../src/wire/token-end.ts";

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

function tokenOf(claims: object): string {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  return `${part({ alg: "EdDSA" })}.${part(claims)}.x`;
}

/** A watch on a clock of its own, and what it says. */
function watched(token: () => string) {
  const clock = { nowMs: 0 };
  const said: { atMs: number; text: string; endsAt: string }[] = [];
  const due: { atMs: number; what: () => void }[] = [];
  const timers: Timers = {
    after(delayMs, what) {
      const wish = { atMs: clock.nowMs + delayMs, what };
      due.push(wish);
      return () => void due.splice(due.indexOf(wish), 1);
    },
  };
  const log = {
    warn: ({ endsAt }: { endsAt: string }, text: string) => said.push({ atMs: clock.nowMs, text, endsAt }),
  } as unknown as Logger;
  const watch = new TokenEndWatch({
    tokenFile: "/etc/host.token",
    role: "host",
    pool: "eu",
    log,
    timers,
    token: async () => token(),
    nowMs: () => clock.nowMs,
  });
  /** Lets time pass from look to look. */
  const pass = async (untilMs: number): Promise<void> => {
    for (;;) {
      const next = due.shift();
      if (next === undefined || next.atMs > untilMs) {
        if (next !== undefined) due.unshift(next);
        clock.nowMs = untilMs;
        return;
      }
      clock.nowMs = next.atMs;
      next.what();
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  return { watch, said, due, pass };
}

test("[EL6] a token's end is said three days before, and each time that half of what was left is gone", async () => {
  const endMs = 30 * DAY_MS;
  const { watch, said, pass } = watched(() => tokenOf({ iat: 0, exp: endMs / 1_000 }));
  await watch.look();
  await pass(endMs + 5 * DAY_MS);
  const left = said.map(({ atMs }) => endMs - atMs);
  expect(left[0]).toBe(3 * DAY_MS);
  for (const [at, leftMs] of left.slice(1).entries()) expect(leftMs).toBeLessThanOrEqual(left[at]! / 2);
  expect(left.at(-1)).toBeGreaterThan(60_000);
  expect(left.length).toBeGreaterThan(8);
  expect(said[0]!.text).toMatch(
    /^The token in \/etc\/host\.token ends in 3 days, at 1970-01-31T00:00:00\.000Z: .*--role host --name NAME --pool eu/,
  );
  expect(said.at(-1)!.text).toMatch(/ends in \d+ min,/);
});

test("[EL6] nothing is said of one that was replaced, and the next one's end in its turn", async () => {
  let endMs = 4 * DAY_MS;
  const { watch, said, pass } = watched(() => tokenOf({ iat: 0, exp: endMs / 1_000 }));
  await watch.look();
  await pass(3 * DAY_MS);
  const before = said.length;
  expect(before).toBeGreaterThan(0);
  endMs = 40 * DAY_MS;
  await pass(37 * DAY_MS - HOUR_MS);
  expect(said).toHaveLength(before);
  await pass(37 * DAY_MS + HOUR_MS);
  expect(said).toHaveLength(before + 1);
  expect(said.at(-1)!.endsAt).toBe(new Date(endMs).toISOString());
});

test("[EL6] a file that cannot be read, or has no token, is another's to tell, and is looked at again", async () => {
  for (const token of [
    () => "nonsense",
    () => tokenOf({}),
    () => {
      throw new Error("there is none");
    },
  ]) {
    const { watch, said, due } = watched(token);
    await watch.look();
    expect([said.length, due.length]).toEqual([0, 1]);
    watch.stop();
    expect(due).toEqual([]);
  }
});

test("[EL6] of a short life the last third is near its end", () => {
  expect(endOfToken(tokenOf({ iat: 600, exp: 900 }))).toEqual({ endsAtMs: 900_000, nearFromMs: 800_000 });
  expect(endOfToken(tokenOf({ exp: 9 * 86_400 }))).toEqual({ endsAtMs: 9 * DAY_MS, nearFromMs: 6 * DAY_MS });
});

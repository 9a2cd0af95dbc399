/** What `ipshard events` says of each event. */
import { expect, test } from "vitest";
import { differencesOf } from "../../src/cli/attribution/change-text.ts";
import { type Event, eventsText } from "../../src/cli/attribution/event-text.ts";

const NOTHING: Event = {
  id: "1796126587000-note-1",
  at: "2026-12-01T12:03:07.000Z",
  kind: "host-back",
  pool: "eu",
  ip: null,
  host: null,
  router: null,
  firstPort: null,
  lastPort: null,
  epoch: null,
  reason: null,
  by: null,
  before: null,
  after: null,
};
const AT = "2026-12-01T12:03:07.000Z";

test("[EV7] each event is a line, and below it each value that differs", () => {
  const lost = { ip: "192.0.2.1", host: "h1", firstPort: 5312, lastPort: 5375, epoch: 9, reason: "expired" };
  const by = { subject: "ada", tokenId: "t1" };
  const changed = { before: { quarantineMs: 1 }, after: { quarantineMs: 2, minHostsPerIp: 3 } };
  const text = eventsText([
    { ...NOTHING, ...lost, kind: "lease-lost" },
    { ...NOTHING, ...changed, kind: "settings-changed", by },
    { ...NOTHING, kind: "steering-overdue", router: "r1", after: { sequence: 7 } },
  ]);
  expect(text.split("\n")).toEqual([
    `${AT}  lease-lost  192.0.2.1  ports 5312-5375  epoch 9  host h1  expired`,
    `${AT}  settings-changed  by ada (t1)`,
    "    quarantineMs: 1 -> 2",
    "    minHostsPerIp = 3",
    `${AT}  steering-overdue  router r1`,
    "    sequence = 7",
  ]);
  expect(eventsText([])).toContain("Nothing happened");
});

test("[EV7] [AU6] times are told as times, in lists too, and durations as they are", () => {
  const atMs = Date.parse(AT);
  const after = {
    drain: { sinceMs: atMs },
    revoked: [{ tokenId: "t1", expiresAtMs: atMs }],
    leaseDurationMs: 86_400_000,
    epoch: atMs,
    strangeMs: Number.MAX_SAFE_INTEGER,
  };
  expect(differencesOf({ drain: { sinceMs: null } }, after)).toEqual([
    `drain.sinceMs: null -> ${AT}`,
    `revoked = [{"tokenId":"t1","expiresAtMs":"${AT}"}]`,
    "leaseDurationMs = 86400000",
    `epoch = ${atMs}`,
    `strangeMs = ${Number.MAX_SAFE_INTEGER}`,
  ]);
});

test("[EV7] what others have written cannot control the terminal", () => {
  const bad = "\u001b[2J\u009bx\nfake line";
  const event = { ...NOTHING, reason: bad, by: { subject: bad, tokenId: bad }, after: { tags: [bad] } };
  const text = eventsText([event]);
  expect(text.replaceAll("\n", "")).not.toMatch(/\p{Cc}/u);
  expect(text.split("\n")).toHaveLength(2);
});

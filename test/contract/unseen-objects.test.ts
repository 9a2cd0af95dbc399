/**
 * What it costs that an address and a pool could be looked at: nothing while nobody does, before the
 * first viewer and after the last one. [LV1]
 */
import { describe, expect, test } from "vitest";
import { AddressService } from "../../durable-objects/address/address-service.ts";
import type {
  Acceptance,
  ObjectPlatform,
  ObjectSocket,
} from "../../durable-objects/platform/object-platform.ts";
import { PoolService } from "../../durable-objects/pool/pool-service.ts";
import type { SqlDatabase } from "../../durable-objects/storage/sql-database.ts";
import { LOOK_LASTS_MS } from "../../src/core/live-view.ts";
import type { Outcome } from "../../src/core/outcome.ts";
import { DEFAULT_POOL_SETTINGS } from "../../src/core/pool-settings.ts";
import { DrivenTimers } from "../link/driven-world.ts";
import { openNodeDatabase } from "./node-database.ts";

const IP = "192.0.2.1";
const VIEWER = { name: "operator", sessionEndsAtMs: Number.MAX_SAFE_INTEGER };

class FakeSocket implements ObjectSocket {
  readyState = 1;
  readonly tags: readonly string[];
  readonly sent: string[] = [];
  #attachment: unknown;

  constructor({ tags, attachment }: Acceptance) {
    this.tags = tags;
    this.#attachment = attachment;
  }

  send(text: string): void {
    this.sent.push(text);
  }

  close(): void {
    this.readyState = 3;
  }

  serializeAttachment(attachment: object): void {
    this.#attachment = structuredClone(attachment);
  }

  deserializeAttachment(): unknown {
    return structuredClone(this.#attachment);
  }
}

/** All that an object asks of its platform that costs something. */
function countedPlatform(object: string) {
  const timers = new DrivenTimers();
  const database = openNodeDatabase();
  const sockets: FakeSocket[] = [];
  const counts = { statements: 0, alarms: 0, waits: 0, draws: 0, calls: 0 };
  const storage: SqlDatabase = {
    sql: {
      exec: (query, ...bindings) => {
        if (!/^\s*select/i.test(query)) counts.statements += 1;
        return database.sql.exec(query, ...bindings);
      },
    },
    transactionSync: (closure) => database.transactionSync(closure),
  };
  const platform: ObjectPlatform = {
    name: object,
    storage,
    restoration: null,
    nowMs: () => 1_800_000_000_000 + timers.nowMs,
    random: () => {
      counts.draws += 1;
      return 0.5;
    },
    wait: (delayMs, signal) => {
      if (delayMs > 0) counts.waits += 1;
      return new Promise((resolve, reject) => {
        const cancel = timers.after(delayMs, resolve);
        signal?.addEventListener("abort", () => {
          cancel();
          reject(signal.reason as Error);
        });
      });
    },
    setAlarm: async () => void (counts.alarms += 1),
    deleteAlarm: async () => {},
    sockets: (tag) => sockets.filter(({ readyState, tags }) => readyState === 1 && tags.includes(tag)),
    heartbeatAtMs: () => null,
    keepAwake: () => {},
    abort: (reason) => expect.unreachable(reason),
    report: (text) => expect.unreachable(text),
  };
  const accepted = (outcome: Outcome<Acceptance, string>): FakeSocket => {
    if (!outcome.ok) throw new Error(outcome.refusal);
    const socket = new FakeSocket(outcome.value);
    sockets.push(socket);
    return socket;
  };
  /** What was done and said since this was called last, but to viewers. */
  const since = (): object => {
    const said = sockets.filter(({ tags }) => !tags.includes(":viewers")).map(({ sent }) => sent.splice(0));
    const total = {
      ...counts,
      said: said.map((texts) => texts.map((text) => text.replaceAll(/"requestId":"[^"]*"/g, ""))),
    };
    for (const name of Object.keys(counts) as (keyof typeof counts)[]) counts[name] = 0;
    return total;
  };
  return { platform, timers, counts, accepted, since };
}

type World = ReturnType<typeof countedPlatform>;
type Heard = (socket: FakeSocket, message: object) => Promise<unknown>;

async function untilDone(timers: DrivenTimers, work: Promise<unknown>): Promise<void> {
  const state = { isDone: false };
  void work.then(() => (state.isDone = true));
  while (!state.isDone) await timers.advance(10);
}

/** Somebody looks for a while, all the time, and then goes without a word. */
async function look(world: World, viewer: FakeSocket, hear: Heard): Promise<void> {
  for (let at = 0; at < 3; at += 1) {
    await hear(viewer, { type: "look", past: true, decisions: true });
    await world.timers.advance(10_000);
  }
  expect(viewer.sent.length).toBeGreaterThan(0);
  await world.timers.advance(LOOK_LASTS_MS);
}

describe("nobody looks", () => {
  async function address(isSeen: boolean) {
    const world = countedPlatform(IP);
    const { platform, timers, accepted, since } = world;
    const service = new AddressService(platform, () => ({ publish: async () => ({ ok: true, value: [] }) }));
    service.awake(null);
    await untilDone(timers, service.assign("eu", DEFAULT_POOL_SETTINGS, false));
    const host = accepted(service.connect("h1"));
    const hear: Heard = (socket, message) =>
      untilDone(timers, service.heard(socket, JSON.stringify(message)));
    await hear(host, { type: "join", version: 1, requestId: "j", instance: "instance-of-h1" });
    const viewer = isSeen ? accepted(service.connectViewer(VIEWER)) : null;
    if (viewer === null) await timers.advance(30_000 + LOOK_LASTS_MS);
    else await look(world, viewer, async (socket, message) => service.heard(socket, JSON.stringify(message)));
    since();
    for (const round of [1, 2, 3]) {
      await hear(host, { type: "acquire", requestId: `a${round}`, order: 6 });
      await hear(host, { type: "renew", requestId: `r${round}` });
      await hear(host, { type: "release", requestId: `e${round}`, base: 1_024 + 64 * round, epoch: round });
      await untilDone(timers, service.alarm());
      await timers.advance(20_000);
    }
    const before = viewer?.sent.length ?? 0;
    const counted = since();
    expect(viewer?.sent.length ?? 0).toBe(before);
    return counted;
  }

  async function pool(isSeen: boolean) {
    const world = countedPlatform("eu");
    const { platform, timers, counts, accepted, since } = world;
    const called = async <Value>(value: Value): Promise<Value> => {
      counts.calls += 1;
      return value;
    };
    const service = new PoolService(platform, () => ({
      assign: () => called({ ok: true, value: { status: "serving" } }),
      describe: () => called(null),
      held: () => called([]),
      removeHost: () => called(undefined),
      dropTokens: () => called(undefined),
    }));
    await untilDone(timers, service.configure({}));
    await untilDone(timers, service.addIp(IP, null));
    const host = accepted(service.connectHost("h1"));
    const hear: Heard = (socket, message) => service.heard(socket, JSON.stringify(message));
    const rooms = (busiestCount: number) => [{ ip: IP, portCount: 64, busiestCount }];
    const report = (busiestCount: number) => ({
      type: "report",
      draining: false,
      rooms: rooms(busiestCount),
      watchable: true,
    });
    await hear(host, {
      type: "enlist",
      version: 1,
      instance: "instance-of-h1",
      gateway: "http://192.0.2.9:8800",
    });
    await hear(host, report(0));
    const viewer = isSeen ? accepted(service.connectViewer(VIEWER)) : null;
    if (viewer === null) await timers.advance(30_000 + LOOK_LASTS_MS);
    else {
      await look(world, viewer, hear);
      expect(host.sent.some((text) => text.includes('"type":"watch"'))).toBe(true);
    }
    since();
    for (const round of [1, 2, 3]) {
      await hear(host, report(round));
      await untilDone(timers, service.drainHost("h1", round % 2 === 1));
      await untilDone(timers, service.placement(["h1"]));
      await untilDone(timers, service.alarm());
      await timers.advance(20_000);
    }
    const before = viewer?.sent.length ?? 0;
    const counted = since();
    expect(viewer?.sent.length ?? 0).toBe(before);
    expect(timers.pendingCount).toBe(0);
    return counted;
  }

  test.each([
    ["an address", address],
    ["a pool", pool],
  ])(
    "[LV1] %s says, writes, asks and waits for no more than if nobody had ever looked",
    async (_what, converse) => {
      const [unseen, seen] = [await converse(false), await converse(true)];
      expect(seen).toEqual(unseen);
      expect(unseen).toMatchObject({ statements: expect.any(Number) });
      expect((unseen as { statements: number }).statements).toBeGreaterThan(0);
    },
  );
});

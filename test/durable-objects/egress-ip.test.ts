import { evictDurableObject, runInDurableObject } from "cloudflare:test";
import { afterEach, describe, expect, it, vi } from "vitest";
import type { EgressIp } from "../../durable-objects/address/egress-ip.ts";
import { CLOSE_FENCED, CLOSE_REFUSED } from "../../durable-objects/platform/object-platform.ts";
import { AddressService } from "../../durable-objects/address/address-service.ts";
import { durablePlatform } from "../../durable-objects/platform/durable-platform.ts";
import { connectingPeer } from "../../durable-objects/platform/upgrade.ts";
import { HOST_HEADER } from "../../durable-objects/calls/peer-headers.ts";
import { HEARTBEAT, HEARTBEAT_ANSWER, PROTOCOL_VERSION } from "../../src/core/messages.ts";
import { HostConnection, objects, type Reply, settings, upgrade } from "./objects.ts";

const FIRST = "first-instance";
const DUPLICATE = "other-instance";

let addressCount = 0;

async function assignedIp() {
  addressCount += 1;
  const stub = objects.EGRESS_IP.getByName(`192.0.2.${addressCount}`);
  expect(await stub.assign("eu", settings)).toEqual({ ok: true, value: { status: "serving" } });
  return stub;
}

function delay(durationMs: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, durationMs);
  });
}

async function tableOf(stub: DurableObjectStub<EgressIp>): Promise<Reply> {
  const described = await stub.describe();
  if (!described.ok) throw new Error(described.refusal);
  return described.value;
}

afterEach(() => {
  vi.useRealTimers();
});

describe("connecting", () => {
  it("[DO7] an address that belongs to no pool takes no host", async () => {
    const stub = objects.EGRESS_IP.getByName("198.51.100.1");
    const response = await upgrade(stub, { upgrade: "websocket", [HOST_HEADER]: "h1" });
    expect(response.status).toBe(404);
    expect(await response.json()).toMatchObject({ code: "ip-unknown" });
    expect(await stub.describe()).toEqual({ ok: false, refusal: "ip-unknown" });
  });

  it("[DO5] a connection that names no verified host is refused", async () => {
    const stub = await assignedIp();
    const response = await upgrade(stub, { upgrade: "websocket" });
    expect(response.status).toBe(403);
    expect(await response.json()).toMatchObject({ code: "role-denied" });
  });

  it("[DO5] only WebSockets are spoken", async () => {
    const response = await upgrade(await assignedIp(), { [HOST_HEADER]: "h1" });
    expect(response.status).toBe(426);
    expect(await response.json()).toMatchObject({ code: "upgrade-required" });
  });

  it("[DO5] the word that asks for a WebSocket may have capitals", () => {
    const request = new Request("http://object/", { headers: { upgrade: "WebSocket", [HOST_HEADER]: "h1" } });
    expect(connectingPeer(request, HOST_HEADER)).toEqual({ ok: true, value: "h1" });
  });

  it("[DO9] one that ends without a code is closed back all the same", async () => {
    const host = await HostConnection.open(await assignedIp(), "h1");
    host.closeSilently();
    expect(await host.closed).toEqual({ code: 1000, reason: "" });
  });

  it("[DO15] heartbeats are answered", async () => {
    const host = await HostConnection.open(await assignedIp(), "h1");
    host.send(HEARTBEAT);
    expect(await host.nextText()).toBe(HEARTBEAT_ANSWER);
  });
});

describe("settings", () => {
  it("[DO18] that change are told at once to every host that has joined, on its newest connection", async () => {
    const stub = await assignedIp();
    const h1 = await HostConnection.open(stub, "h1");
    await h1.join(FIRST);
    const notJoined = await HostConnection.open(stub, "h2");
    await evictDurableObject(stub);
    await stub.assign("eu", { ...settings, leaseDurationMs: 30_000 });
    expect(await h1.next()).toEqual({ type: "changed" });
    expect(await h1.ask({ type: "renew", requestId: "r1" })).toMatchObject({ leaseDurationMs: 30_000 });
    // What is as it was is told to nobody.
    await stub.assign("eu", { ...settings, leaseDurationMs: 30_000 });
    expect(await h1.ask({ type: "renew", requestId: "r2" })).toMatchObject({ type: "answer" });
    expect(await notJoined.ask("{")).toMatchObject({ type: "refused" });
  });

  it("[DO18] that are not about leases are told to nobody", async () => {
    const stub = await assignedIp();
    const host = await HostConnection.open(stub, "h1");
    await host.join(FIRST);
    await stub.assign("eu", { ...settings, hostSilenceMs: 60_000, steeringDeadlineMs: 1_000 });
    host.send({ type: "renew", requestId: "r1" });
    expect(await host.next()).toMatchObject({ type: "answer" });
  });
});

describe("restarts", () => {
  it("[DO3] an eviction between any two commands loses nothing", async () => {
    const stub = await assignedIp();
    const h1 = await HostConnection.open(stub, "h1");
    const h2 = await HostConnection.open(stub, "h2");
    const granted: Reply[] = [];
    const steps: (() => Promise<Reply>)[] = [
      () => h1.join(FIRST),
      () => h2.join(DUPLICATE),
      () => h1.acquire(8),
      () => h2.acquire(7),
      () => h1.acquire(6),
      () => h1.renew(),
      () => h1.release(granted[0]!["granted"] as { base: number; epoch: number }),
      () => h2.acquire(12),
      () => h2.renew(),
    ];
    for (const step of steps) {
      const answer = await step();
      const {
        minHostsPerIp: _least,
        routerSilenceMs: _routers,
        published: _facts,
        historyDays: _days,
        ...told
      } = settings;
      expect(answer).toMatchObject({ type: "answer", settings: told });
      if (answer["granted"] !== null) granted.push(answer);
      const before = await tableOf(stub);
      await evictDurableObject(stub);
      expect(await tableOf(stub)).toEqual(before);
    }
    const table = await tableOf(stub);
    expect(table["lastEpoch"]).toBe(4);
    expect(table["blocks"].map((row: Reply) => [row["epoch"], row["host"], row["state"]])).toEqual([
      [1, "h1", "quarantined"],
      [2, "h2", "leased"],
      [3, "h1", "leased"],
      [4, "h2", "leased"],
    ]);
    expect(table["freePortCount"]).toBe(64_512 - 256 - 128 - 64 - 4_096);
  });

  it("[HO3] a grant whose reply was lost is taken up at the next join", async () => {
    const stub = await assignedIp();
    const lost = await HostConnection.open(stub, "h1");
    await lost.join(FIRST);
    lost.send({ type: "acquire", requestId: "never-answered", order: 8 });
    lost.close();
    await lost.closed;
    await evictDurableObject(stub, { webSockets: "close" });

    const again = await HostConnection.open(stub, "h1");
    const { leases } = await again.join(FIRST);
    expect(leases).toEqual([{ base: expect.any(Number) as number, order: 8, epoch: 1 }]);
    // Asked once more, the same request is answered with the same block.
    expect((await again.acquire(8, "never-answered"))["granted"]).toEqual(leases[0]);
    expect((await again.renew())["leases"]).toEqual(leases);
  });

  it("[ME2] a repeated request gets the block it got, across an eviction", async () => {
    const stub = await assignedIp();
    const host = await HostConnection.open(stub, "h1");
    await host.join(FIRST);
    const first = await host.acquire(6, "same");
    await evictDurableObject(stub);
    const second = await host.acquire(6, "same");
    expect(second["granted"]).toEqual(first["granted"]);
    expect(second["leases"]).toHaveLength(1);
  });

  it("[QU3] a host takes its own quarantined block up again under a higher epoch", async () => {
    const stub = await assignedIp();
    const host = await HostConnection.open(stub, "h1");
    await host.join(FIRST);
    const { granted } = await host.acquire(12);
    await host.release(granted as { base: number; epoch: number });
    await evictDurableObject(stub);
    expect((await host.acquire(12))["granted"]).toEqual({ ...granted, epoch: 2 });
    expect((await tableOf(stub))["blocks"]).toHaveLength(1);
  });

  it("[QU1] another host gets no block in quarantine, across an eviction", async () => {
    const stub = await assignedIp();
    await stub.assign("eu", { ...settings, minPortsPerHost: 0, maxPortsPerHost: 64_512 });
    const h1 = await HostConnection.open(stub, "h1");
    const h2 = await HostConnection.open(stub, "h2");
    await h1.join(FIRST);
    await h2.join(DUPLICATE);
    const { granted } = await h1.acquire(12);
    await h1.release(granted as { base: number; epoch: number });
    await evictDurableObject(stub);
    const taken: number[] = [];
    let answer = await h2.acquire(12);
    while (answer["type"] === "answer") {
      taken.push(answer["granted"].base);
      answer = await h2.acquire(12);
    }
    expect(answer).toMatchObject({ type: "refused", code: "address-exhausted" });
    expect(taken.length).toBeGreaterThan(14);
    expect(taken).not.toContain(granted.base);
  });

  it("[AL6] when a host comes to a full address, answers tell the others to hold less", async () => {
    const stub = await assignedIp();
    await stub.assign("eu", { ...settings, minPortsPerHost: 512, maxPortsPerHost: 64_512 });
    const h1 = await HostConnection.open(stub, "h1");
    await h1.join(FIRST);
    while ((await h1.acquire(12))["type"] === "answer");
    expect((await h1.renew())["settings"]).toMatchObject({ maxPortsPerHost: 64_512 });
    const h2 = await HostConnection.open(stub, "h2");
    expect((await h2.join(DUPLICATE))["settings"]).toMatchObject({
      minPortsPerHost: 512,
      maxPortsPerHost: 512,
    });
    expect((await h1.renew())["settings"]).toMatchObject({ maxPortsPerHost: 64_000 });
    expect((await tableOf(stub))["settings"]).toMatchObject({ maxPortsPerHost: 64_512 });
  });
});

describe("a turn", () => {
  const renew = (requestId: string) => JSON.stringify({ type: "renew", requestId });
  const acquire = (requestId: string) => JSON.stringify({ type: "acquire", requestId, order: 6 });
  it("[DO17] answers everything that came at the same moment, each host in its own order", async () => {
    const stub = await assignedIp();
    for (const host of ["h1", "h2"]) await (await HostConnection.open(stub, host)).join(FIRST);
    const sent = await runInDurableObject(stub, async (instance: EgressIp) => {
      const replies: Reply[] = [];
      let turnCount = 0;
      let isOver = true;
      const socketOf = (host: string, session: number) =>
        ({
          readyState: WebSocket.OPEN,
          deserializeAttachment: () => ({ host, session, pool: "eu" }),
          send: (text: string) => {
            if (isOver) {
              turnCount += 1;
              isOver = false;
              // Runs when the present turn of the object has ended.
              queueMicrotask(() => (isOver = true));
            }
            replies.push({ host, turnCount, ...(JSON.parse(text) as Reply) });
          },
        }) as unknown as WebSocket;
      const h1 = socketOf("h1", 1);
      const h2 = socketOf("h2", 2);
      const messages: [WebSocket, string][] = [
        [h1, acquire("a1")],
        [h2, renew("a2")],
        [h1, renew("b1")],
        [h2, acquire("b2")],
      ];
      const answered: Promise<void>[] = [];
      for (const [socket, message] of messages) {
        answered.push(instance.webSocketMessage(socket, message));
        await Promise.resolve();
      }
      await Promise.all(answered);
      return replies;
    });
    expect(sent.map(({ requestId }) => requestId as string)).toEqual(["a1", "a2", "b1", "b2"]);
    expect(sent.map(({ turnCount }) => turnCount as number)).toEqual([1, 1, 1, 1]);
    expect(sent[2]!["leases"]).toEqual([sent[0]!["granted"]]);
    expect((await tableOf(stub))["blocks"]).toHaveLength(2);
  });
});

describe("renewals", () => {
  /** Those whose times are in the one row. */
  const together = (stub: DurableObjectStub<EgressIp>): Promise<string[]> =>
    runInDurableObject(stub, (_instance, { storage }) =>
      storage.sql
        .exec("SELECT entry.value ->> 0 AS host FROM renewed_together, json_each(expires_at_ms) AS entry")
        .toArray()
        .map(({ host }) => host as string)
        .toSorted(),
    );

  it("[DO21] that come within a quarter of a second are one row, and each is answered", async () => {
    const stub = await assignedIp();
    const names = ["h1", "h2", "h3", "h4"];
    const hosts = await Promise.all(names.map((name) => HostConnection.open(stub, name)));
    for (const host of hosts) await host.join(FIRST);
    const [h1, h2, h3, h4] = hosts as [HostConnection, HostConnection, HostConnection, HostConnection];
    const first = h1.renew();
    await delay(50);
    const all = [first, h2.renew(), h3.renew()];
    for (const answer of await Promise.all(all)) {
      expect(answer).toMatchObject({ type: "answer", leaseDurationMs: settings.leaseDurationMs });
    }
    expect(await together(stub)).toEqual(["h1", "h2", "h3"]);
    // What the object remembers is what it wrote.
    const holders = async () => (await tableOf(stub))["holders"] as Reply[];
    const remembered = await holders();
    await evictDurableObject(stub);
    expect(await holders()).toEqual(remembered);
    // One that comes alone has its own row.
    expect(await h4.renew()).toMatchObject({ type: "answer" });
    expect(await together(stub)).toEqual(["h1", "h2", "h3"]);
  });

  it("[DO21] wait for no other when all hosts have renewed, or when anything else is asked", async () => {
    const stub = await assignedIp();
    const [h1, h2] = [await HostConnection.open(stub, "h1"), await HostConnection.open(stub, "h2")];
    for (const host of [h1, h2]) await host.join(FIRST);
    const waits = await runInDurableObject(stub, async (instance: EgressIp) => {
      const told: string[] = [];
      const socketOf = (host: string, session: number) =>
        ({
          readyState: WebSocket.OPEN,
          deserializeAttachment: () => ({ host, session, pool: "eu" }),
          send: (text: string) => told.push((JSON.parse(text) as Reply)["requestId"] as string),
        }) as unknown as WebSocket;
      const renew = (requestId: string) => JSON.stringify({ type: "renew", requestId });
      const of = async (...said: [WebSocket, string][]): Promise<string[]> => {
        const answered = said.map(([socket, text]) => instance.webSocketMessage(socket, text));
        await Promise.race([Promise.all(answered), delay(100)]);
        const early = told.splice(0);
        await Promise.all(answered);
        told.length = 0;
        return early;
      };
      const [one, other] = [socketOf("h1", 1), socketOf("h2", 2)];
      return [
        await of([one, renew("a")]),
        await of([one, renew("b")], [other, renew("c")]),
        await of([one, renew("d")], [other, JSON.stringify({ type: "acquire", requestId: "e", order: 6 })]),
        await of([one, renew("f")], [other, "{"]),
      ];
    });
    expect(waits).toEqual([[], ["b", "c"], ["d", "e"], ["f", ""]]);
  });
});

describe("who speaks for a host", () => {
  it("[HO1] a duplicate instance is refused while the first holds leases, and its connection closed", async () => {
    const stub = await assignedIp();
    const first = await HostConnection.open(stub, "h1");
    await first.join(FIRST);
    await first.acquire(8);
    await evictDurableObject(stub);
    const duplicate = await HostConnection.open(stub, "h1");
    expect(await duplicate.join(DUPLICATE)).toMatchObject({ type: "refused", code: "host-already-present" });
    expect(await duplicate.closed).toEqual({ code: CLOSE_REFUSED, reason: "host-already-present" });
    expect(await first.renew()).toMatchObject({ type: "answer", leases: [{ order: 8 }] });
  });

  it("[DO9] a newer session closes the older socket of the same host and no other", async () => {
    const stub = await assignedIp();
    const older = await HostConnection.open(stub, "h1");
    const stranger = await HostConnection.open(stub, "h2");
    await older.join(FIRST);
    await stranger.join(DUPLICATE);
    await evictDurableObject(stub);
    const newer = await HostConnection.open(stub, "h1");
    expect(await newer.join(FIRST)).toMatchObject({ type: "answer" });
    expect(await older.closed).toEqual({ code: CLOSE_FENCED, reason: "stale-session" });
    await evictDurableObject(stub);
    expect(await newer.renew()).toMatchObject({ type: "answer" });
    expect(await stranger.renew()).toMatchObject({ type: "answer" });
  });

  it("[DO9] a connection on which nobody has joined yet stays open when its host joins on another", async () => {
    const stub = await assignedIp();
    const waiting = await HostConnection.open(stub, "h1");
    const joined = await HostConnection.open(stub, "h1");
    await joined.join(FIRST);
    expect(await waiting.join(FIRST)).toMatchObject({ type: "answer" });
    expect(await joined.closed).toEqual({ code: CLOSE_FENCED, reason: "stale-session" });
  });

  it("[HO2] what an older session still sends is refused", async () => {
    const stub = await assignedIp();
    const older = await HostConnection.open(stub, "h1");
    await older.join(FIRST);
    const newer = await HostConnection.open(stub, "h1");
    await newer.join(FIRST);
    // The older socket is closed by now; this is one whose message was on its way before that.
    const replies = await runInDurableObject(stub, async (instance: EgressIp) => {
      const sent: string[] = [];
      const socket = {
        readyState: WebSocket.OPEN,
        deserializeAttachment: () => ({ host: "h1", session: 1, pool: "eu" }),
        send: (text: string) => sent.push(text),
      } as unknown as WebSocket;
      const late = { type: "acquire", requestId: "late", order: 8 };
      await instance.webSocketMessage(socket, JSON.stringify(late));
      return sent.map((text) => JSON.parse(text) as Reply);
    });
    expect(replies).toEqual([{ type: "refused", requestId: "late", code: "stale-session" }]);
    expect((await newer.renew())["leases"]).toEqual([]);
  });

  it("[HO2] a connection on which nobody joined holds nothing", async () => {
    const stub = await assignedIp();
    const joined = await HostConnection.open(stub, "h1");
    await joined.join(FIRST);
    const silent = await HostConnection.open(stub, "h1");
    expect(await silent.acquire(8)).toMatchObject({ type: "refused", code: "stale-session" });
    expect(await joined.renew()).toMatchObject({ type: "answer", leases: [] });
  });

  it("[EP2] a lease is given back by its holder under its epoch only", async () => {
    const stub = await assignedIp();
    const h1 = await HostConnection.open(stub, "h1");
    const h2 = await HostConnection.open(stub, "h2");
    await h1.join(FIRST);
    await h2.join(DUPLICATE);
    const { granted } = await h1.acquire(8);
    for (const attempt of [
      h2.release(granted as { base: number; epoch: number }),
      h1.release({ ...granted, epoch: 99 }),
    ]) {
      expect(await attempt).toMatchObject({ type: "refused", code: "stale-epoch" });
    }
  });
});

describe("bad input", () => {
  it.each([
    ["no JSON", "{", ""],
    ["no object", "null", ""],
    ["an unknown type", '{"type":"steal","requestId":"x"}', "x"],
    ["a member too many", '{"type":"renew","requestId":"x","host":"h2"}', "x"],
    [
      "an id that is just short enough",
      `{"type":"renew","requestId":"${"x".repeat(64)}","host":"h2"}`,
      "x".repeat(64),
    ],
    ["an id that is a number", '{"type":"renew","requestId":7}', ""],
    ["an id too long", `{"type":"renew","requestId":"${"x".repeat(65)}"}`, ""],
    ["a fraction of a port", '{"type":"release","requestId":"x","base":1024.5,"epoch":1}', "x"],
    ["bytes", new TextEncoder().encode("{}").buffer, ""],
  ])("[ME3] %s is refused, and the connection goes on", async (_what, message, requestId) => {
    const host = await HostConnection.open(await assignedIp(), "h1");
    expect(await host.ask(message)).toEqual({ type: "refused", requestId, code: "message-malformed" });
    expect(await host.join(FIRST)).toMatchObject({ type: "answer" });
  });

  it("[ME1] another version is refused, and the connection closed", async () => {
    const host = await HostConnection.open(await assignedIp(), "h1");
    const version = PROTOCOL_VERSION + 1;
    expect(await host.ask({ type: "join", version, requestId: "v", instance: FIRST })).toEqual({
      type: "refused",
      requestId: "v",
      code: "version-unsupported",
    });
    expect(await host.closed).toEqual({ code: CLOSE_REFUSED, reason: "version-unsupported" });
  });

  it("[PB1] a block size that does not exist is refused", async () => {
    const host = await HostConnection.open(await assignedIp(), "h1");
    await host.join(FIRST);
    expect(await host.acquire(13)).toMatchObject({ type: "refused", code: "order-out-of-range" });
  });
});

describe("belonging to a pool", () => {
  it("[DO7] an address stays with its pool", async () => {
    const stub = await assignedIp();
    expect(await stub.assign("us", settings)).toEqual({ ok: false, refusal: "ip-elsewhere" });
    expect((await tableOf(stub))["pool"]).toBe("eu");
  });

  it("[DO7] an address that is not told which it is takes no pool", async () => {
    await runInDurableObject(
      objects.EGRESS_IP.getByName("198.51.100.3"),
      async (_instance: EgressIp, state) => {
        const service = new AddressService({ ...durablePlatform(state), name: undefined }, () => {
          throw new Error("there is nothing to tell a pool");
        });
        await expect(service.assign("eu", settings)).rejects.toThrow("reached by the address");
        expect(await service.describe()).toEqual({ ok: false, refusal: "ip-unknown" });
      },
    );
  });

  it("[RE6] an address that belongs nowhere has left whoever takes it away", async () => {
    const stub = objects.EGRESS_IP.getByName("198.51.100.2");
    for (const wish of ["retire", "leave"] as const) {
      const left = { ok: true, value: { status: "left" } };
      expect(await stub.assign("eu", settings, false, { revision: 5, wish })).toEqual(left);
    }
    expect(await stub.describe()).toEqual({ ok: false, refusal: "ip-unknown" });
  });

  it("[RE6] a retiring address is worth asking at its next deadline, in 1 to 60 s", async () => {
    vi.useFakeTimers({ toFake: ["Date"] });
    const stub = await assignedIp();
    // With a quarantine as long as this a leap of the clock is believed.
    const unhurried = { ...settings, quarantineMs: 3_600_000 };
    await stub.assign("eu", unhurried);
    const host = await HostConnection.open(stub, "h1");
    await host.join(FIRST);
    await host.acquire(8);
    const endsAtMs = Date.now() + settings.leaseDurationMs;
    for (const [leftMs, againInMs] of [
      [settings.leaseDurationMs, 60_000],
      [30_000, 30_000],
      [300, 1_000],
    ] as const) {
      vi.setSystemTime(endsAtMs - leftMs);
      expect(await stub.assign("eu", unhurried, false, { revision: null, wish: "retire" })).toEqual({
        ok: true,
        value: {
          status: "retiring",
          leasedPortCount: 256,
          quarantinedPortCount: 0,
          isEmpty: false,
          againInMs,
        },
      });
    }
  });

  it("[DO11] new settings hold for the next answer, and after an eviction", async () => {
    const stub = await assignedIp();
    const host = await HostConnection.open(stub, "h1");
    await host.join(FIRST);
    await stub.assign("eu", { ...settings, leaseDurationMs: 60_000 });
    expect(await host.next()).toEqual({ type: "changed" });
    await evictDurableObject(stub);
    expect(await host.renew()).toMatchObject({ leaseDurationMs: 60_000 });
  });

  it("[DO5] a description tells nobody the key that proves a host's identity", async () => {
    const stub = await assignedIp();
    const host = await HostConnection.open(stub, "h1");
    await host.join(FIRST);
    await host.acquire(8, "private-request-id");
    const text = JSON.stringify(await tableOf(stub));
    expect(text).toContain("h1");
    expect(text).not.toContain(FIRST);
    expect(text).not.toContain("private-request-id");
  });
});

describe("storage that fails", () => {
  it("[DO6] takes the answers of the whole turn along, and what was asked may be asked again", async () => {
    const stub = await assignedIp();
    const hosts = await Promise.all(["h1", "h2"].map((name) => HostConnection.open(stub, name)));
    for (const host of hosts) await host.join(FIRST);
    await runInDurableObject(stub, (_instance: EgressIp, state) => {
      state.storage.sql.exec(
        `CREATE TRIGGER broken BEFORE INSERT ON lease WHEN NEW.host = 'h2'
        BEGIN SELECT RAISE(ABORT, 'disk full'); END`,
      );
    });
    for (const host of hosts) host.send({ type: "acquire", requestId: "both-at-once", order: 8 });
    for (const host of hosts) await host.closed;
    expect(hosts.flatMap(({ unread }) => unread)).toEqual([]);

    const stubAnew = objects.EGRESS_IP.getByName(`192.0.2.${addressCount}`);
    await runInDurableObject(stubAnew, (_instance: EgressIp, state) => {
      state.storage.sql.exec("DROP TRIGGER broken");
    });
    for (const name of ["h1", "h2"]) {
      const again = await HostConnection.open(stubAnew, name);
      await again.join(FIRST);
      expect((await again.acquire(8, "both-at-once"))["leases"]).toHaveLength(1);
    }
    expect((await tableOf(stubAnew))["lastEpoch"]).toBe(2);
  });

  it("[DO6] an answer that could not be stored is never sent, and memory starts anew from disk", async () => {
    const stub = await assignedIp();
    const host = await HostConnection.open(stub, "h1");
    await host.join(FIRST);
    await host.acquire(8);
    await runInDurableObject(stub, (_instance: EgressIp, state) => {
      state.storage.sql.exec(
        "CREATE TRIGGER broken BEFORE INSERT ON lease BEGIN SELECT RAISE(ABORT, 'disk full'); END",
      );
    });
    host.send({ type: "acquire", requestId: "doomed", order: 8 });
    await host.closed;
    expect(host.unread).toEqual([]);

    const stubAnew = objects.EGRESS_IP.getByName(`192.0.2.${addressCount}`);
    expect((await tableOf(stubAnew))["lastEpoch"]).toBe(1);
    await runInDurableObject(stubAnew, (_instance: EgressIp, state) => {
      state.storage.sql.exec("DROP TRIGGER broken");
    });
    const again = await HostConnection.open(stubAnew, "h1");
    expect((await again.join(FIRST))["leases"]).toHaveLength(1);
    expect((await again.acquire(8))["granted"].epoch).toBe(2);
  });
});

/** Hosts that a Worker misses are asked for a word, and how long a host may be silent unless it is missed. */
import { evictDurableObject } from "cloudflare:test";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { HEARTBEAT } from "../../src/core/messages.ts";
import { HostConnection, objects } from "./objects.ts";

const INSTANCE = "instance-1";
const GATEWAY = "http://127.0.0.1:8001";

let count = 0;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["Date"] });
});

afterEach(() => {
  vi.useRealTimers();
});

function pass(durationMs: number): void {
  vi.setSystemTime(Date.now() + durationMs);
}

async function newPool() {
  count += 1;
  const ip = `203.0.113.${count}`;
  const stub = objects.EGRESS_POOL.getByName(`missed-${count}`);
  await stub.configure({});
  expect(await stub.addIp(ip, null)).toMatchObject({ ok: true });
  /** The hosts that are placed, for one that misses some. */
  const placed = async (...missed: string[]): Promise<string[]> => {
    const placement = await stub.placement(missed);
    if (!placement.ok) throw new Error(placement.refusal);
    return placement.value.ips[0]!.hosts.map(({ host }) => host).toSorted();
  };
  const report = { type: "report", draining: false, rooms: [{ ip, portCount: 256, busiestCount: 0 }] };
  const enlist = async (name: string): Promise<HostConnection> => {
    const host = await HostConnection.open(stub, name);
    expect(await host.enlist(INSTANCE, GATEWAY)).toMatchObject({ type: "enlisted" });
    host.send(report);
    // An answer shows that the report was read.
    expect(await host.ask("{")).toMatchObject({ type: "refused" });
    return host;
  };
  return { stub, placed, enlist, report };
}

describe("a host that is missed", () => {
  it("[DO20] is asked, and left out when it says nothing for 3 s, until it is heard again", async () => {
    const { stub, placed, enlist, report } = await newPool();
    const h1 = await enlist("h1");
    await enlist("h2");
    pass(10_000);
    expect(await placed("h1")).toEqual(["h1", "h2"]);
    expect(await h1.next()).toMatchObject({ type: "enlisted", ips: ["203.0.113.1"] });
    pass(2_999);
    expect(await placed()).toEqual(["h1", "h2"]);
    pass(1);
    await evictDurableObject(stub);
    expect(await placed()).toEqual(["h2"]);
    pass(20_000);
    expect(await placed("h1")).toEqual(["h2"]);
    expect(h1.unread).toEqual([]);
    h1.send(report);
    await vi.waitFor(async () => expect(await placed()).toEqual(["h1", "h2"]));
  });

  it("[DO20] stays when it answers, and may be asked again", async () => {
    const { placed, enlist, report } = await newPool();
    const h1 = await enlist("h1");
    for (let round = 1; round <= 3; round += 1) {
      pass(5_000);
      expect(await placed("h1")).toEqual(["h1"]);
      expect(await h1.next()).toMatchObject({ type: "enlisted" });
      pass(500);
      h1.send(report);
      expect(await h1.ask("{")).toMatchObject({ type: "refused" });
      pass(5_000);
      expect(await placed()).toEqual(["h1"]);
    }
  });

  it("[DO20] is heard by a heartbeat as well", async () => {
    vi.useRealTimers();
    const { placed, enlist } = await newPool();
    const h1 = await enlist("h1");
    await until(1_100);
    await placed("h1");
    expect(await h1.next()).toMatchObject({ type: "enlisted" });
    await until(3_100);
    expect(await placed()).toEqual([]);
    h1.send(HEARTBEAT);
    expect(await h1.nextText()).toBe("pong");
    expect(await placed()).toEqual(["h1"]);
  });

  it("[DO20] is asked once while its answer is waited for, and not when it spoke a moment ago", async () => {
    const { placed, enlist } = await newPool();
    const h1 = await enlist("h1");
    pass(999);
    await placed("h1");
    expect(h1.unread).toEqual([]);
    pass(1);
    for (const missed of [["h1"], ["h1", "h1"], ["nobody", "h1"]]) await placed(...missed);
    expect(await h1.next()).toMatchObject({ type: "enlisted" });
    expect(await h1.ask("{")).toMatchObject({ type: "refused" });
  });

  it("[DO20] is not left out for what it was asked before the clock was set back, and is asked again", async () => {
    const { placed, enlist } = await newPool();
    const h1 = await enlist("h1");
    pass(10_000);
    await placed("h1");
    expect(await h1.next()).toMatchObject({ type: "enlisted" });
    pass(4_000);
    expect(await placed()).toEqual([]);
    // Now it was heard 4 s from now, and asked 14 s from now.
    pass(-18_000);
    expect(await placed("h1")).toEqual(["h1"]);
    expect(await h1.next()).toMatchObject({ type: "enlisted" });
  });

  it("[DO20] is one of 50 that are asked within a second", async () => {
    const { placed, enlist } = await newPool();
    const names = Array.from({ length: 60 }, (_none, at) => `h${at}`);
    const hosts = await Promise.all(names.map(enlist));
    pass(10_000);
    await placed(...names);
    const asked = async (): Promise<number> => {
      const replies = await Promise.all(hosts.map((host) => host.ask("{")));
      return replies.filter(({ type }) => type === "enlisted").length;
    };
    expect(await asked()).toBe(50);
    pass(1_000);
    await placed(...names);
    // Those that were asked before read a refusal first, and still do.
    expect(await asked()).toBe(10);
  });
});

describe("the silence that a host is told", () => {
  it("[DO20] grows with the number of hosts, for all of them, and each is judged by what it was told", async () => {
    const { stub, enlist, placed } = await newPool();
    // A heartbeat in 200 ms: 150 a second for 30 hosts.
    await stub.configure({ hostSilenceMs: 500 });
    const first = await enlist("h0");
    for (let at = 1; at < 30; at += 1) await enlist(`h${at}`);
    expect(await first.ask("{")).toMatchObject({ type: "refused" });
    const last = await HostConnection.open(stub, "h30");
    const settings = { hostSilenceMs: 1_000 };
    expect(await last.enlist(INSTANCE, GATEWAY)).toMatchObject({ type: "enlisted", settings });
    expect(await first.next()).toMatchObject({ type: "enlisted", settings });
    pass(999);
    expect(await placed()).toContain("h0");
    pass(1);
    expect(await placed()).not.toContain("h0");
  });

  it("[DO20] counts from when it is told, where it is shorter than before", async () => {
    const { stub, enlist, placed } = await newPool();
    const h1 = await enlist("h1");
    pass(40_000);
    await stub.configure({ hostSilenceMs: 5_000 });
    expect(await h1.next()).toMatchObject({ type: "enlisted", settings: { hostSilenceMs: 5_000 } });
    pass(4_999);
    expect(await placed()).toEqual(["h1"]);
    pass(1);
    expect(await placed()).toEqual([]);
    await stub.configure({ hostSilenceMs: 4_000 });
    // One that has gone is not brought back by that.
    expect(await placed()).toEqual([]);
  });
});

/** Lets real time pass. */
function until(durationMs: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, durationMs);
  });
}

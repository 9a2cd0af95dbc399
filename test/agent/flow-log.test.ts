/** The flow log of a host: what is written, what is found again, and what survives. */
import { appendFile, mkdtemp, readdir, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { BlockLog } from "../../src/agent/flow-log/block-log.ts";
import { NotedTranslation } from "../../src/agent/noted-translation.ts";
import { readSnatRules } from "../../src/agent/translation/snat-rule.ts";
import { FlowLog } from "../../src/agent/flow-log/flow-log.ts";
import { searchFlows } from "../../src/agent/flow-log/flow-search.ts";
import type { LeavingFlow } from "../../src/agent/egress/flow-recorder.ts";
import type { FlowAnswer } from "../../src/wire/flow-answer.ts";
import type { PortCommand, PortControl } from "../../src/agent/egress/port-messages.ts";

const IP = "192.0.2.1";
const MIB = 2 ** 20;
const SENDER = { tenant: "acme", client: "cart", clientAddress: "10.0.0.9" };

let directory: string;
let nowMs: number;
const now = (): number => nowMs;
const faults: unknown[] = [];
const logs: { close(): Promise<void> }[] = [];
const onFault = (fault: unknown): void => void faults.push(fault);

beforeEach(async () => {
  directory = join(await mkdtemp(join(tmpdir(), "flow-log-")), "flow-log");
  nowMs = Date.parse("2026-11-29T12:00:00Z");
  faults.length = 0;
});

afterEach(async () => {
  for (const log of logs.splice(0)) await log.close();
  await rm(join(directory, ".."), { recursive: true, force: true });
});

function flowTo(port: number, more: Partial<LeavingFlow> = {}): LeavingFlow {
  const destination = { ip: "203.0.113.5", port: 443 };
  return { ip: IP, port, protocol: "tcp", destination, sender: SENDER, ...more };
}

async function openLog(number = 0, maxBytes = MIB, destinations = false): Promise<FlowLog> {
  const log = new FlowLog({ directory, process: number, destinations, maxBytes, onFault, now });
  await log.open();
  logs.push(log);
  return log;
}

async function openBlocks(level: "off" | "blocks" | "flows" = "flows"): Promise<BlockLog> {
  const log = new BlockLog({ directory, level, destinations: false, maxBytes: MIB, onFault, now });
  await log.open();
  logs.push(log);
  return log;
}

function ask(
  port: number,
  atMs = nowMs,
  more: { throughMs?: number; protocol?: "tcp" | "udp"; destination?: string } = {},
): Promise<FlowAnswer> {
  return searchFlows(directory, {
    ip: IP,
    port,
    atMs,
    throughMs: atMs,
    protocol: null,
    destination: null,
    ...more,
  });
}

describe("the log of flows", () => {
  test("[AT5] tells who sent, from when to when, and how much, and not where to", async () => {
    await openBlocks();
    const log = await openLog();
    const startMs = nowMs;
    const note = log.begins(flowTo(5312));
    nowMs += 1_000;
    note.ended(512, 9_100);
    await log.flush();
    const { level, flows, isComplete } = await ask(5312, startMs);
    expect({ level, isComplete }).toEqual({ level: "flows", isComplete: true });
    expect(flows).toEqual([
      {
        protocol: "tcp",
        tenant: "acme",
        senders: [{ client: "cart", clientAddress: "10.0.0.9", sinceMs: startMs }],
        destinations: [],
        startMs,
        endMs: startMs + 1_000,
        cutOffMs: null,
        sent: 512,
        received: 9_100,
      },
    ]);
    const files = await Promise.all(
      (await readdir(directory)).map((name) => readFile(join(directory, name), "utf8")),
    );
    expect(files.join("")).not.toContain("203.0.113.5");
    expect(files.join("")).toContain('"start":"2026-11-29T12:00:00.000Z"');
  });

  test("[AT6] is exact at both ends of a flow, and names what has ended shortly before", async () => {
    const log = await openLog();
    const startMs = nowMs;
    const note = log.begins(flowTo(5312));
    nowMs += 1_000;
    note.ended(1, 2);
    await log.flush();
    const at = async (atMs: number) => {
      const { flows, ended } = await ask(5312, atMs);
      return [flows.length, ended.length];
    };
    expect(await at(startMs - 1)).toEqual([0, 0]);
    expect(await at(startMs)).toEqual([1, 0]);
    expect(await at(startMs + 999)).toEqual([1, 0]);
    expect(await at(startMs + 1_000)).toEqual([0, 1]);
    expect(await at(startMs + 120_999)).toEqual([0, 1]);
    expect(await at(startMs + 121_000)).toEqual([0, 0]);
    expect((await ask(5313, startMs)).flows).toEqual([]);
    expect((await ask(531, startMs)).flows).toEqual([]);
    expect(
      (
        await searchFlows(directory, {
          ip: "192.0.2.11",
          port: 5312,
          atMs: startMs,
          throughMs: startMs,
          protocol: null,
          destination: null,
        })
      ).flows,
    ).toEqual([]);
  });

  test("[AT9] of a second it names what was open within it, however short, and of the next nothing", async () => {
    const log = await openLog();
    const startMs = nowMs;
    nowMs += 495;
    const note = log.begins(flowTo(5312));
    nowMs += 14;
    note.ended(97, 190);
    await log.flush();
    const second = async (fromMs: number) => {
      const { flows, ended } = await ask(5312, fromMs, { throughMs: fromMs + 999 });
      return [flows.length, ended.length];
    };
    expect(await second(startMs - 1_000)).toEqual([0, 0]);
    expect(await second(startMs)).toEqual([1, 0]);
    expect(await second(startMs + 1_000)).toEqual([0, 1]);
  });

  test("[AT5] tells every client of a connection that several share, each once", async () => {
    const log = await openLog();
    const startMs = nowMs;
    const note = log.begins(flowTo(5312));
    for (const client of ["cart", "shop", "cart", "shop"]) {
      nowMs += 10;
      note.usedBy({ ...SENDER, client });
    }
    await log.flush();
    const [flow] = (await ask(5312)).flows;
    expect(flow!.senders.map(({ client, sinceMs }) => [client, sinceMs - startMs])).toEqual([
      ["cart", 0],
      ["shop", 20],
    ]);
    expect(log.counts.written).toBe(2);
  });

  test("[AT5] tells destinations when it is told to, and tells flows of one port apart by them", async () => {
    const log = await openLog(0, MIB, true);
    log.begins(flowTo(5312));
    log.begins(
      flowTo(5312, { destination: { ip: "2001:db8::1", port: 80 }, sender: { ...SENDER, tenant: "other" } }),
    );
    const udp = log.begins(flowTo(5312, { protocol: "udp", destination: null }));
    udp.sentTo({ ip: "203.0.113.9", port: 53 });
    udp.sentTo({ ip: "203.0.113.9", port: 53 });
    await log.flush();
    const tenants = async (destination: string) =>
      (await ask(5312, nowMs, { destination })).flows.map(({ tenant, protocol }) => `${tenant} ${protocol}`);
    expect(await tenants("203.0.113.5:443")).toEqual(["acme tcp"]);
    expect(await tenants("[2001:db8::1]:80")).toEqual(["other tcp"]);
    expect(await tenants("203.0.113.9:53")).toEqual(["acme udp"]);
    expect((await ask(5312)).flows).toHaveLength(3);
    expect((await ask(5312, nowMs, { protocol: "udp" })).flows[0]!.destinations).toEqual(["203.0.113.9:53"]);
  });

  test("[AT7] of a process that was killed knows what was open, and when that was over at the latest", async () => {
    const killed = await openLog();
    const startMs = nowMs;
    killed.begins(flowTo(5312));
    await killed.flush();
    // As it is when the process dies in the middle of a write.
    const [name] = await readdir(directory);
    await appendFile(join(directory, name!), '{"type":"end","ip":"192.0.2.1","port":5312,"id":"x');
    nowMs += 60_000;
    const log = await openLog();
    log.begins(flowTo(5312, { sender: { ...SENDER, tenant: "later" } }));
    await log.flush();
    const during = await ask(5312, startMs + 30_000);
    expect(during.flows).toMatchObject([
      { tenant: "acme", endMs: null, cutOffMs: startMs + 60_000, sent: null },
    ]);
    expect((await ask(5312)).flows).toMatchObject([{ tenant: "later" }]);
    expect((await ask(5312)).ended).toMatchObject([{ tenant: "acme" }]);
  });

  test(
    "[AT7] stays within its size, and never forgets a flow that is open",
    { timeout: 30_000 },
    async () => {
      const log = await openLog();
      const startMs = nowMs;
      const old = log.begins(flowTo(1_024, { sender: { ...SENDER, tenant: "patient" } }));
      old.usedBy({ ...SENDER, client: "second" });
      for (let round = 0; round < 200; round += 1) {
        nowMs += 1_000;
        for (let at = 0; at < 50; at += 1) log.begins(flowTo(2_048 + at)).ended(1, 1);
        await log.flush();
      }
      const sizes = await Promise.all(
        (await readdir(directory)).map(async (name) => (await stat(join(directory, name))).size),
      );
      expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThanOrEqual(MIB);
      expect(log.counts).toMatchObject({ written: 20_002, lost: 0 });
      const { flows, sinceMs } = await ask(1_024);
      expect(flows).toMatchObject([{ tenant: "patient", startMs, endMs: null }]);
      expect(flows[0]!.senders).toHaveLength(2);
      expect(sinceMs).toBeGreaterThan(startMs);
      // Also of a time whose own file is gone.
      expect((await ask(1_024, startMs + 5)).flows).toMatchObject([{ tenant: "patient" }]);
      expect((await ask(2_048, startMs + 1_000)).level).toBe("unknown");
    },
  );

  test("[AT6] finds a flow that began many files before, and one whose end came many files later", async () => {
    const log = await openLog(0, 16 * MIB);
    const open = new Map<number, { readonly sinceMs: number; untilMs: number | null }>();
    const notes = new Map<number, ReturnType<FlowLog["begins"]>>();
    // Each lasts for a quarter of the time, and files change in the middle of most.
    for (let at = 0; at < 800; at += 1) {
      nowMs += 100;
      notes.set(at, log.begins(flowTo(1_024 + at)));
      open.set(at, { sinceMs: nowMs, untilMs: null });
      for (let filler = 0; filler < 40; filler += 1) log.begins(flowTo(60_000 + filler)).ended(1, 1);
      if (at >= 200) {
        notes.get(at - 200)!.ended(at, at);
        open.get(at - 200)!.untilMs = nowMs;
      }
      if (at % 20 === 0) await log.flush();
    }
    await log.flush();
    expect((await readdir(directory)).length).toBeGreaterThan(4);
    for (let at = 0; at < 800; at += 37) {
      const { sinceMs, untilMs } = open.get(at)!;
      for (const atMs of [sinceMs, sinceMs + 5_000, (untilMs ?? nowMs + 1) - 1].filter((ms) => ms <= nowMs)) {
        if (untilMs !== null && atMs >= untilMs) continue;
        expect((await ask(1_024 + at, atMs)).flows).toMatchObject([{ startMs: sinceMs, endMs: untilMs }]);
      }
      if (untilMs !== null) expect((await ask(1_024 + at, untilMs)).flows).toEqual([]);
    }
  });

  test("[AT7] counts what cannot be written, says so once, and goes on when it can", async () => {
    const log = await openLog();
    await rm(join(directory, ".."), { recursive: true });
    // A new file is due, and there is no directory for it any more.
    for (let at = 0; at < 1_000; at += 1) log.begins(flowTo(2_048));
    await log.flush();
    for (let round = 0; round < 3; round += 1) {
      for (let at = 0; at < 10; at += 1) log.begins(flowTo(2_048));
      await log.flush();
    }
    expect(faults).toHaveLength(1);
    expect(log.counts.lost).toBe(30);
  });

  test("[AT7] says once that more is logged at once than it keeps, and goes on", async () => {
    const log = await openLog();
    for (let at = 0; at < 60_000; at += 1) log.begins(flowTo(2_048));
    const { lost } = log.counts;
    expect(lost).toBeGreaterThan(0);
    expect(faults).toHaveLength(1);
    await log.flush();
    log.begins(flowTo(2_049));
    await log.flush();
    expect(log.counts).toMatchObject({ lost, written: 60_001 - lost });
    expect((await ask(2_049)).flows).toHaveLength(1);
    expect(faults).toHaveLength(1);
  });

  test("[AT6] is one log, whichever process of the host wrote it", async () => {
    const both = [await openLog(1), await openLog(2)];
    both.forEach((log, at) => log.begins(flowTo(5312, { sender: { ...SENDER, tenant: `t${at}` } })));
    await Promise.all(both.map((log) => log.flush()));
    expect((await ask(5312)).flows.map(({ tenant }) => tenant)).toEqual(["t0", "t1"]);
  });

  test("[AT6] tells no more than an answer holds, and says so", async () => {
    const log = await openLog();
    for (let at = 0; at < 100; at += 1) log.begins(flowTo(5312));
    await log.flush();
    const answer = await ask(5312);
    expect([answer.flows.length, answer.isComplete]).toEqual([64, false]);
  });
});

describe("the log of blocks", () => {
  const lease = { base: 5_312, order: 6, epoch: 7 };
  const command = (number: number, more: Partial<PortCommand>): PortCommand => {
    const term = { monotonicEndMs: Infinity, wallEndMs: Infinity };
    return { number, term, blocks: [], isGrowing: false, pressureCount: 0, ...more };
  };
  const ports = (): PortControl & { readonly commands: number[] } => {
    const commands: number[] = [];
    return { commands, onReport: null, command: ({ number }) => void commands.push(number) };
  };

  test("[AT5] has the time of each block, as the ports were told of it", async () => {
    const log = await openBlocks("blocks");
    const inner = ports();
    const control = log.noting(IP, inner);
    const startMs = nowMs;
    control.command(command(1, { blocks: [{ lease, isDraining: false }] }));
    nowMs += 1_000;
    control.command(command(2, { blocks: [{ lease, isDraining: true }] }));
    nowMs += 1_000;
    const endMs = nowMs;
    control.command(command(3, { term: null, blocks: [{ lease, isDraining: true }] }));
    nowMs += 1_000;
    await log.flush();
    expect(inner.commands).toEqual([1, 2, 3]);
    const at = async (atMs: number, port = 5_320) => (await ask(port, atMs)).blocks;
    expect(await at(startMs)).toEqual([{ first: 5_312, last: 5_375, epoch: 7, startMs, endMs }]);
    expect(await at(endMs - 1, 5_375)).toHaveLength(1);
    expect([
      await at(endMs),
      await at(startMs - 1),
      await at(startMs, 5_376),
      await at(startMs, 5_311),
    ]).toEqual([[], [], [], []]);
  });

  test("[AT12] has the time in which the kernel translated in a unit, and for whom", async () => {
    const log = await openBlocks("blocks");
    const guard = { restore: async () => false, translate: async () => {}, unitsInUse: () => [83] };
    const rules = readSnatRules([`source=10.1.0.0/16, name=pods, ip=${IP}`, "source=10.2.0.0/16"], "eu");
    const noted = new NotedTranslation(guard, rules, log);
    const startMs = nowMs;
    // Those of an earlier life go on; 83 is 5312 to 5375.
    expect(noted.unitsInUse(IP)).toEqual([83]);
    nowMs += 1_000;
    await noted.translate(IP, [83, 84]);
    nowMs += 1_000;
    await noted.translate(IP, [84]);
    expect(noted.unitsInUse(IP)).toEqual([83]);
    await log.flush();
    const at = async (port: number, ms: number) => (await ask(port, startMs + ms)).translations;
    const whole = { first: 5_312, last: 5_375, startMs, endMs: startMs + 2_000 };
    expect(await at(5_320, 500)).toEqual([{ ...whole, names: ["pods", "translated"] }]);
    expect(await at(5_320, 2_000)).toEqual([]);
    expect(await at(5_376, 500)).toEqual([]);
    expect(await at(5_376, 9_000)).toMatchObject([{ first: 5_376, startMs: startMs + 1_000, endMs: null }]);
    expect((await ask(5_320, startMs + 500)).flows).toEqual([]);
  });

  test("[AT7] of a host that was killed has its blocks until it is back, and then anew", async () => {
    const killed = await openBlocks("blocks");
    const startMs = nowMs;
    killed.noting(IP, ports()).command(command(1, { blocks: [{ lease, isDraining: false }] }));
    await killed.flush();
    nowMs += 5_000;
    const log = await openBlocks("blocks");
    nowMs += 1_000;
    log.noting(IP, ports()).command(command(1, { blocks: [{ lease, isDraining: false }] }));
    await log.flush();
    expect((await ask(5_312, startMs + 4_999)).blocks).toHaveLength(1);
    expect((await ask(5_312, startMs + 5_500)).blocks).toEqual([]);
    expect((await ask(5_312, startMs + 6_000)).blocks).toMatchObject([
      { startMs: startMs + 6_000, endMs: null },
    ]);
  });

  test("[AT6] says what was logged at the time, and from when on", async () => {
    expect(await ask(5_312)).toMatchObject({ level: "unknown", sinceMs: null });
    const beganMs = nowMs;
    for (const level of ["blocks", "flows", "off"] as const) {
      await (await openBlocks(level)).close();
      nowMs += 1_000;
    }
    const levels = [-1, 0, 999, 1_000, 2_000].map(async (byMs) => (await ask(5_312, beganMs + byMs)).level);
    expect(await Promise.all(levels)).toEqual(["unknown", "blocks", "blocks", "flows", "off"]);
    expect((await ask(5_312)).sinceMs).toBe(beganMs);
  });
});

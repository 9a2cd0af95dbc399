/** A router in its pool, with a time, a pool and a kernel that do as they are told. */
import { expect, onTestFinished, test } from "vitest";
import { KernelFault } from "../../src/linux/kernel-commands.ts";
import type { RepairReport, SteeringKernel } from "../../src/router/steering/steering-kernel.ts";
import { SteeringMember } from "../../src/router/feed/steering-member.ts";
import { DrivenTimers, drivenLinks } from "../link/driven-world.ts";
import { recordingLog } from "../link/loopback-edge.ts";
import { change, entry, table } from "./steering-fixture.ts";

/** Levels of the log. */
const [INFO, WARN, ERROR] = [30, 40, 50];

class ObedientKernel implements SteeringKernel {
  /** What was asked, and whether it was done. */
  readonly steps: string[] = [];
  isBroken = false;
  isDisplaced = false;
  areRoutesGone = false;
  /** What it says when it is broken. */
  fault: Error = new Error("the kernel is broken");
  report: RepairReport = { removedCount: 0, addedCount: 0, unreachable: [] };

  async repair(): Promise<RepairReport> {
    this.#step("repair");
    this.isDisplaced = false;
    this.areRoutesGone = false;
    return this.report;
  }

  async apply(): Promise<void> {
    this.#step("apply");
  }

  async isInForce(areRoutesIncluded = true): Promise<boolean> {
    return !this.isDisplaced && !(areRoutesIncluded && this.areRoutesGone);
  }

  async counts(): Promise<never> {
    throw new Error("nobody counts here");
  }

  async remove(): Promise<void> {
    this.#step("remove");
  }

  async close(): Promise<void> {
    this.#step("close");
  }

  #step(name: string): void {
    this.steps.push(this.isBroken ? `${name} failed` : name);
    if (this.isBroken) throw this.fault;
  }
}

function join() {
  const timers = new DrivenTimers();
  const kernel = new ObedientKernel();
  const { openLink, links } = drivenLinks();
  const { log, lines } = recordingLog();
  const member = new SteeringMember({
    edge: new URL("http://edge.example"),
    pool: "default",
    instance: "instance-1",
    isObserver: false,
    token: async () => "the-token",
    kernel,
    timers,
    openLink,
    log,
  });
  onTestFinished(() => member.stop());
  member.start();
  const [link] = links;
  const tellTable = (sequence: number): void =>
    link!.receive({ type: "table", part: 1, parts: 1, table: table(sequence, [entry("h1", 4096, 8, 1)]) });
  return { timers, kernel, member, link: link!, tellTable, lines };
}

test("[ST2] what the kernel has applied is acknowledged, and then the router is ready", async () => {
  const { timers, kernel, member, link, tellTable } = join();
  expect(link.path).toBe("/v1/pools/default/steering");
  expect(link.sent).toEqual([{ type: "enroll", version: 1, instance: "instance-1" }]);
  tellTable(7);
  expect([member.isReady, member.appliedSequence]).toEqual([false, null]);
  await timers.advance(0);
  expect([member.isReady, member.appliedSequence]).toEqual([true, 7]);
  link.receive({ type: "change", change: change(8, { put: [entry("h2", 8192, 8, 2)] }) });
  await timers.advance(0);
  expect(kernel.steps).toEqual(["repair", "apply"]);
  expect(link.sent.slice(1)).toEqual([
    { type: "acknowledge", sequence: 7 },
    { type: "acknowledge", sequence: 8 },
  ]);
});

test("[ST2] a kernel that fails is tried again after ever longer waits, and nothing acknowledged meanwhile", async () => {
  const { timers, kernel, member, link, tellTable } = join();
  kernel.isBroken = true;
  tellTable(7);
  const attempts: number[] = [];
  for (const untilMs of [99, 100, 299, 300]) {
    await timers.advance(untilMs - timers.nowMs);
    attempts.push(kernel.steps.length);
  }
  expect(attempts).toEqual([1, 2, 2, 3]);
  expect([member.isReady, link.sent.length]).toEqual([false, 1]);
  kernel.isBroken = false;
  await timers.advance(400);
  expect(link.sent.at(-1)).toEqual({ type: "acknowledge", sequence: 7 });
});

test("[ST14] what the pool has not answered is said again, until it has, and on each connection", async () => {
  const { timers, link, tellTable } = join();
  const enroll = { type: "enroll", version: 1, instance: "instance-1" };
  await timers.advance(4_999);
  expect(link.sent).toEqual([enroll]);
  await timers.advance(1);
  await timers.advance(5_000);
  expect(link.sent).toEqual([enroll, enroll, enroll]);
  tellTable(7);
  await timers.advance(20_000);
  expect(link.sent).toEqual([enroll, enroll, enroll, { type: "acknowledge", sequence: 7 }]);
  link.drop();
  await timers.advance(20_000);
  link.reopen();
  link.drop();
  await timers.advance(20_000);
  expect(link.sent.slice(4)).toEqual([enroll]);
});

test("[RT10] rules that another program took away are put back within two seconds, routes within ten", async () => {
  const { timers, kernel, tellTable } = join();
  tellTable(7);
  await timers.advance(5_000);
  expect(kernel.steps).toEqual(["repair"]);
  kernel.isDisplaced = true;
  while (kernel.isDisplaced && timers.nowMs < 60_000) await timers.advance(100);
  // It has just looked, so the next look is as far away as can be.
  kernel.isDisplaced = true;
  await timers.advance(2_000);
  expect(kernel.isDisplaced).toBe(false);
  kernel.areRoutesGone = true;
  while (kernel.areRoutesGone && timers.nowMs < 60_000) await timers.advance(100);
  kernel.areRoutesGone = true;
  await timers.advance(10_000);
  expect(kernel.areRoutesGone).toBe(false);
  expect(kernel.steps).toEqual(Array(5).fill("repair"));
});

test("[RT10] a kernel that is slow to be looked at is not asked twice at a time", async () => {
  const { timers, kernel, tellTable } = join();
  tellTable(7);
  await timers.advance(100);
  let askedCount = 0;
  let answer: (isInForce: boolean) => void = () => {};
  kernel.isInForce = () => {
    askedCount += 1;
    return new Promise((resolve) => (answer = resolve));
  };
  await timers.advance(8_000);
  expect(askedCount).toBe(1);
  answer(true);
  await timers.advance(1_000);
  expect(askedCount).toBe(2);
});

test("[RT10] routes, which take a command each, are looked at with every fifth look at the rules", async () => {
  const { timers, kernel, tellTable } = join();
  tellTable(7);
  await timers.advance(0);
  const withRoutes: boolean[] = [];
  kernel.isInForce = async (areRoutesIncluded) => {
    withRoutes.push(areRoutesIncluded === true);
    return true;
  };
  await timers.advance(20_000);
  expect([withRoutes.length, withRoutes.filter(Boolean).length]).toEqual([20, 4]);
});

test("[RT10] a kernel that cannot be looked at is told of, and looked at again", async () => {
  const { timers, kernel, tellTable, lines } = join();
  tellTable(7);
  await timers.advance(0);
  const isInForce = kernel.isInForce.bind(kernel);
  kernel.isInForce = () => Promise.reject(new Error("no answer from nft"));
  await timers.advance(1_000);
  expect(lines.at(-1)).toMatchObject({
    level: ERROR,
    msg: "it cannot be seen whether the kernel still steers",
    err: { message: "no answer from nft" },
  });
  kernel.isInForce = isInForce;
  kernel.isDisplaced = true;
  await timers.advance(1_000);
  expect(kernel.isDisplaced).toBe(false);
  expect(lines).toContainEqual(
    expect.objectContaining({
      level: ERROR,
      msg: "another program had taken the rules out of the kernel; they are put back",
    }),
  );
});

test("[ST1] a change is missing: the whole table is asked for, and again on a new connection", async () => {
  const { timers, link, tellTable } = join();
  tellTable(7);
  await timers.advance(0);
  const askedCount = () => link.sent.filter((sent) => (sent as { type: string }).type === "resync").length;
  link.receive({ type: "change", change: change(9) });
  link.receive({ type: "change", change: change(10) });
  expect(askedCount()).toBe(1);
  link.drop();
  link.reopen();
  link.receive({ type: "change", change: change(11) });
  expect(askedCount()).toBe(2);
});

test("[ST2] a router says once that it is ready, and of each repair what it did and whom nobody reaches", async () => {
  const { timers, kernel, tellTable, lines } = join();
  kernel.report = { removedCount: 2, addedCount: 5, unreachable: [{ host: "h9", family: 6 }] };
  tellTable(7);
  await timers.advance(0);
  expect(lines).toMatchObject([
    { level: INFO, msg: "the kernel was compared with the pool's table", removedCount: 2, addedCount: 5 },
    { level: WARN, host: "h9", msg: expect.stringMatching(/reach h9 by IPv6.*dropped \(--via\)/) },
    { level: INFO, msg: expect.stringMatching(/^ready: /), sequence: 7 },
  ]);
  tellTable(8);
  await timers.advance(0);
  expect(lines.slice(3).map(({ level }) => level)).toEqual([INFO, WARN]);
});

test("[ST2] why the kernel did not apply it is told in its own first line, anything else with its stack", async () => {
  const { timers, kernel, tellTable, lines } = join();
  kernel.isBroken = true;
  kernel.fault = new KernelFault("transaction-refused", "No such device\nNo such device, again");
  tellTable(7);
  await timers.advance(0);
  expect(lines).toEqual([
    expect.objectContaining({
      level: ERROR,
      code: "transaction-refused",
      msg: "the kernel did not apply it: No such device; again in 100 ms",
    }),
  ]);
  expect(lines[0]).not.toHaveProperty("err");
  kernel.fault = new Error("a mistake of ours");
  await timers.advance(100);
  expect(lines.at(-1)).toMatchObject({
    level: ERROR,
    err: { message: "a mistake of ours", stack: expect.stringContaining("steering-member") },
    msg: "the kernel did not apply it; again in 200 ms",
  });
});

test("[ST3] an entry from the past is told of, with the epoch that stays", async () => {
  const { timers, link, tellTable, lines } = join();
  tellTable(7);
  await timers.advance(0);
  link.receive({ type: "change", change: change(8, { put: [entry("h1", 4096, 8, 6)] }) });
  link.receive({ type: "change", change: change(9, { put: [entry("h2", 4096, 8, 5)] }) });
  expect(lines.at(-1)).toMatchObject({
    level: WARN,
    msg: "an entry from the past was passed over",
    host: "h2",
    base: 4096,
    epoch: 5,
    heldEpoch: 6,
  });
});

test("[RT6] a router that stops leaves the kernel as it is, and wants nothing more of time", async () => {
  const { timers, kernel, member, link, tellTable } = join();
  tellTable(7);
  await timers.advance(0);
  expect(member.isConnected).toBe(true);
  await member.stop();
  expect([member.isConnected, link.isStarted]).toEqual([false, false]);
  expect(timers.pendingCount).toBe(0);
  expect(kernel.steps).toEqual(["repair"]);
});

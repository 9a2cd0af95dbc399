/** Which back end steers, what happens when it is another one from now on, and what one leaves to the other. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { observeXdp, xdpFindings } from "../../src/router/doctor/xdp-program.ts";
import { ChosenKernel } from "../../src/router/kernel/chosen-kernel.ts";
import type { KernelCommands } from "../../src/router/kernel/kernel-tools.ts";
import { XdpKernel } from "../../src/router/kernel/xdp-kernel.ts";
import type { Steering } from "../../src/router/steering/steering-choice.ts";
import type { Capture } from "./capture.ts";
import { FAMILIES, type Family, udpTo } from "./packet-kinds.ts";
import { packet, udp } from "./packets.ts";
import { hostOnLan } from "./plan.ts";
import { attachPass, readyForXdp } from "./xdp-cables.ts";
import { blocks, CONFIG, lastOnes, RouterRig, tableOf } from "./router-rig.ts";

const run = promisify(execFile);
const [FAMILY] = FAMILIES as [Family];
/** Packets that are sent at a time. */
const BATCH = 2_000;
const OURS = "ipshard_steer";

let rig: RouterRig;
let told: string[];

beforeAll(async () => {
  rig = await RouterRig.create("xdp");
});

beforeEach(() => {
  told = [];
});

afterEach(async () => {
  await chosen("xdp").remove();
});

afterAll(() => rig?.lab.destroy());

function chosen(steering: Steering, commands: Partial<KernelCommands> = {}): ChosenKernel {
  return new ChosenKernel({
    config: CONFIG,
    steering,
    commands: { ...rig.commands, ...commands },
    pinDirectory: rig.pinDirectoryOf(CONFIG),
    onChoice: ({ backEnd, sentence }) => told.push(`${backEnd}: ${sentence}`),
  });
}

async function repaired(steering: Steering, commands: Partial<KernelCommands> = {}): Promise<ChosenKernel> {
  const kernel = chosen(steering, commands);
  await kernel.repair(tableOf(blocks()));
  return kernel;
}

/** What of either back end is in the kernel. */
async function present(): Promise<string[]> {
  const { stdout: rules } = await rig.lab.exec("r1", ["nft", "list", "tables"]);
  const { stdout: links } = await rig.lab.exec("r1", ["ip", "link", "show", "dev", "up0"]);
  return [...rules.trim().split("\n"), ...(links.includes(OURS) ? [OURS] : [])];
}

const BY_XDP = ["table netdev ipshard_xdp", "table inet ipshard_xdp", OURS];
const BY_NFT = ["table netdev ipshard", "table inet ipshard"];

/** One packet for each host arrives there. */
async function expectSteering(): Promise<void> {
  const captures = await rig.captureAtHosts(FAMILY);
  await rig.arrive(lastOnes(FAMILY));
  await Promise.all(captures.map((capture) => capture.reaches(1)));
  await Promise.all(captures.map((capture) => capture.stop()));
}

test("[RT16] auto takes XDP where it can, and says so once", async () => {
  const kernel = await repaired("auto");
  await kernel.repair(tableOf(blocks()));
  expect(told).toEqual(["xdp: the kernel, the drivers and the tools allow it"]);
  expect(await present()).toEqual(BY_XDP);
  await expectSteering();
  await kernel.close();
});

test("[RT16] auto takes nft where a tool is missing, and says which", async () => {
  const kernel = await repaired("auto", { bpftool: ["no-such-bpftool"] });
  expect(told).toEqual(["nft: the program no-such-bpftool is not installed"]);
  expect(await present()).toEqual(BY_NFT);
  await expectSteering();
  await kernel.remove();
  await kernel.close();
});

test("[RT16] auto takes nft where the kernel cannot redirect, and XDP leaves to nft what goes there", async () => {
  // With nobody at its other end who takes redirected frames.
  await rig.lab.exec("lan", ["ip", "link", "set", "dev", "r1", "xdp", "off"]);
  const auto = await repaired("auto");
  expect(told).toEqual([
    "nft: the kernel cannot redirect frames to lan0: nft forwards what goes there, at a cost",
  ]);
  expect(await present()).toEqual(BY_NFT);
  await auto.close();

  told = [];
  const xdp = await repaired("xdp");
  expect(told).toEqual([
    "xdp: the kernel cannot redirect frames to lan0: nft forwards what goes there, at a cost",
    "xdp: as --steering says",
  ]);
  await expectSteering();
  await readyForXdp(rig.lab);
  expect(await xdp.isInForce()).toBe(true);
  await expectSteering();
  await xdp.close();
});

test("[RT15] [RT16] a program of somebody else is left alone, and named", async () => {
  await attachPass(rig.lab, "r1", "up0");
  const auto = await repaired("auto");
  expect(told).toEqual([expect.stringMatching(/^nft: up0 has the XDP program lab_pass of somebody else: /)]);
  await auto.close();
  await expect(repaired("xdp")).rejects.toMatchObject({ code: "xdp-unavailable" });
  const { stdout } = await rig.lab.exec("r1", ["ip", "link", "show", "dev", "up0"]);
  expect(stdout).toContain("lab_pass");
  await rig.lab.exec("r1", ["ip", "link", "set", "dev", "up0", "xdp", "off"]);
  await chosen("nft").remove();
});

test("[RT15] from one to the other and back under load, no packet is lost and none is steered twice", async () => {
  const captures = await rig.captureAtHosts(FAMILY);
  const route = { from: FAMILY.source(1), to: FAMILY.shared };
  const steady = packet(route, udp(route, { sourcePort: 53, destinationPort: 2048 }));
  await (await repaired("nft")).close();
  const batch = Array<Buffer>(BATCH).fill(steady);
  let sentCount = 0;
  for (const steering of ["xdp", "nft", "xdp"] as const) {
    const change = { isOver: false, end: Promise.resolve() };
    change.end = changeTo(steering).finally(() => {
      change.isOver = true;
    });
    for (; !change.isOver; sentCount += BATCH) await rig.arrive(batch);
    await change.end;
  }
  const packets = await captures[0]!.packets("udp");
  expect(packets).toHaveLength(sentCount);
  // Aged once each.
  expect(await ttls(captures[0]!)).toEqual(["63"]);
});

async function changeTo(steering: "xdp" | "nft"): Promise<void> {
  const kernel = await repaired(steering);
  expect(await present()).toEqual(steering === "xdp" ? BY_XDP : BY_NFT);
  await kernel.close();
}

async function ttls(capture: Capture): Promise<string[]> {
  const { stdout } = await rig.lab.exec("r1", [
    "tcpdump",
    "-Z",
    "root",
    "-nn",
    "-v",
    "-r",
    capture.file,
    "udp",
  ]);
  return [...new Set([...stdout.matchAll(/ttl (\d+)/g)].map(([, ttl]) => ttl!))];
}

test("[RT11] [RT15] the doctor names what is wrong with the program, and what slows it down", async () => {
  const kernel = await repaired("auto");
  const askTable = () => Promise.resolve(tableOf(blocks()));
  const sentences = async (): Promise<string[]> => {
    const facts = await observeXdp(CONFIG, askTable, rig.commands);
    return xdpFindings(facts!).flatMap(({ severity, sentence }) => (severity === "good" ? [] : [sentence]));
  };
  const memory = expect.stringMatching(/^The program's maps take \d+\.\d MB /) as string;
  expect(await sentences()).toEqual([memory]);
  expect(await observeXdp({ ...CONFIG, table: "other" }, askTable, rig.commands)).toBeNull();

  await rig.lab.exec("lan", ["ip", "link", "set", "dev", "r1", "xdp", "off"]);
  await kernel.isInForce();
  await readyForXdp(rig.lab);
  await rig.lab.exec("r1", ["nft", "delete", "table", "inet", `${CONFIG.table}_xdp`]);
  const map = ["pinned", rig.mapFile("lines4"), "key", "192", "0", "2", "1"];
  await run("bpftool", ["map", "delete", ...map]);
  expect(await sentences()).toEqual([
    expect.stringMatching(/^The rules behind the program are gone \(inet\)\. /),
    expect.stringMatching(/^The kernel cannot redirect frames to lan0, so nft forwards them, /),
    memory,
    expect.stringMatching(/ parts are not steered as the pool's table says, such as 192\.0\.2\.1/),
  ]);
  await kernel.close();
});

test("[RT15] a neighbour that has become another machine without a word is found by the kernel, and then by the program", async () => {
  const { ipv4 } = hostOnLan(1);
  const quick = ["base_reachable_time_ms=500", "delay_first_probe_time=1", "retrans_time_ms=100"];
  await rig.lab.exec("r1", ["sysctl", "-qw", ...quick.map((setting) => `net.ipv4.neigh.lan0.${setting}`)]);
  await rig.lab.exec("r1", ["ip", "neigh", "del", ipv4, "dev", "lan0"]);
  const kernel = await repaired("xdp");
  const captures = await rig.captureAtHosts(FAMILY);
  const arrive = () => rig.arrive([udpTo(2048)({ from: FAMILY.source(1), to: FAMILY.shared })]);
  await arrive();
  await captures[0]!.reaches(1);
  const before = await rig.lab.macOf("h1", "lan0");
  await rig.lab.exec("h1", ["ip", "link", "set", "dev", "lan0", "address", "02:00:00:00:00:77"]);
  const seen = captures[0]!.seenCount;
  // The capture sees what a switch floods to an address that nobody has, so what counts is whom it is for.
  const mine = await rig.lab.capture("h1", "lan0", "udp and ether dst 02:00:00:00:00:77");
  for (let count = 0; count < 500 && mine.seenCount === 0; count += 1) {
    await arrive();
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  expect(mine.seenCount).toBeGreaterThan(0);
  expect(captures[0]!.seenCount).toBeGreaterThanOrEqual(seen);
  await rig.lab.exec("h1", ["ip", "link", "set", "dev", "lan0", "address", before]);
  await kernel.remove();
  const { stdout } = await rig.lab.exec("r1", ["ip", "neigh", "show", "dev", "lan0"]);
  expect(stdout).not.toContain("managed");
  await kernel.close();
});

test("[RT15] a neighbour that is not known yet, and one that is another machine now, get their packets", async () => {
  const kernel = new XdpKernel({
    config: CONFIG,
    commands: rig.commands,
    pinDirectory: rig.pinDirectoryOf(CONFIG),
    isStrict: true,
  });
  await kernel.repair(tableOf(blocks()));
  const { ipv4 } = hostOnLan(1);
  const neighbour = (...words: string[]) => rig.lab.exec("r1", ["ip", "neigh", ...words, "dev", "lan0"]);
  const captures = await rig.captureAtHosts(FAMILY);
  const arrive = () => rig.arrive([udpTo(2048)({ from: FAMILY.source(1), to: FAMILY.shared })]);
  await neighbour("del", ipv4);
  await arrive();
  await captures[0]!.reaches(1);
  await neighbour("replace", ipv4, "lladdr", await rig.lab.macOf("h2", "lan0"), "nud", "permanent");
  // Within the time after which the program asks again.
  for (let count = 0; count < 200 && captures[1]!.seenCount === 0; count += 1) {
    await arrive();
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  expect(captures[1]!.seenCount).toBeGreaterThan(0);
  await neighbour("replace", ipv4, "lladdr", await rig.lab.macOf("h1", "lan0"), "nud", "permanent");
  await kernel.close();
});

/** The host set-up, on a machine of its own that has no shared address yet. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import type { Finding } from "../../src/process/finding.ts";
import { Lab } from "./lab.ts";
import type { LabProcess } from "./lab-process.ts";
import { hostOnLan, ORIGINS_IPV4, ORIGINS_IPV6, SHARED_IPV4, SHARED_IPV6 } from "./plan.ts";
import { steerStatically } from "./static-steering.ts";

const ORIGIN_PORT = 7000;
const WATCHED = ["net.ipv4.conf.all.arp_ignore", "net.ipv4.conf.all.arp_announce"] as const;

let lab: Lab;
let caller: LabProcess;
let keeper: LabProcess;

beforeAll(async () => {
  lab = await Lab.create({ hosts: 1, routers: 1, areSharedConfigured: false });
  await steerStatically(lab, "r1", [{ host: 1, first: 1024, last: 65_535 }]);
  caller = lab.spawnNode("h1", join(import.meta.dirname, "caller.ts"));
  const origin = lab.spawnNode("internet", join(import.meta.dirname, "echo-origin.ts"), [`${ORIGIN_PORT}`]);
  await origin.waitFor("listening");
});

beforeEach(async () => {
  keeper = await startKeeper();
});

afterAll(() => lab?.destroy());

async function startKeeper(): Promise<LabProcess> {
  const file = join(lab.directory, "host-setup.json");
  const started = lab.spawnNode("h1", join(import.meta.dirname, "host-keeper.ts"), [file]);
  await started.waitFor("ready\n");
  return started;
}

/** All that the set-up may touch. */
async function stateOfHost(): Promise<string> {
  const { stdout: addresses } = await lab.exec("h1", ["ip", "-j", "addr", "show", "dev", "lo"]);
  const { stdout: settings } = await lab.exec("h1", ["sysctl", ...WATCHED]);
  return addresses + settings;
}

async function set(setting: string): Promise<void> {
  await lab.exec("h1", ["sysctl", "-q", "-w", setting]);
}

async function find(): Promise<Finding[]> {
  return JSON.parse(await keeper.ask(`examine ${SHARED_IPV4} ${SHARED_IPV6}`)) as Finding[];
}

async function problems(): Promise<string[]> {
  return (await find()).filter(({ severity }) => severity === "problem").map(({ sentence }) => sentence);
}

test("[HS1] replies reach an address that was set up, and nobody chooses it unasked", async () => {
  const before = await stateOfHost();
  expect(await keeper.ask(`add ${SHARED_IPV4} ${SHARED_IPV6}`)).toBe("ok");
  for (const [shared, origin] of [
    [SHARED_IPV4, ORIGINS_IPV4[0]],
    [SHARED_IPV6, ORIGINS_IPV6[0]],
  ]) {
    const answer = await caller.ask(`connect ${shared} 2048 ${origin} ${ORIGIN_PORT}`);
    expect(answer).toBe(`ok ${shared} 2048`);
  }
  const own = hostOnLan(1);
  expect(await caller.ask(`connect - 0 ${ORIGINS_IPV4[0]} ${ORIGIN_PORT}`)).toContain(`ok ${own.ipv4} `);
  expect(await caller.ask(`connect - 0 ${ORIGINS_IPV6[0]} ${ORIGIN_PORT}`)).toContain(`ok ${own.ipv6} `);
  expect(await caller.ask("close")).toBe("ok");
  expect(await keeper.ask("undo")).toBe("ok");
  expect(await stateOfHost()).toBe(before);
});

test("[HS1] no neighbour learns where a shared address is", async () => {
  expect(await keeper.ask(`add ${SHARED_IPV4} ${SHARED_IPV6}`)).toBe("ok");
  const wire = await lab.capture("r1", "lan0", "arp or (icmp6 and ip6[40] >= 135 and ip6[40] <= 136)");
  for (const ip of [SHARED_IPV4, SHARED_IPV6])
    await lab.exec("r1", ["ip", "route", "add", ip, "dev", "lan0"]);
  await lab.exec("r1", ["ip", "neigh", "flush", "dev", "lan0"]);
  const asker = lab.spawnNode("r1", join(import.meta.dirname, "caller.ts"));
  const own = hostOnLan(1);
  for (const ip of [SHARED_IPV4, SHARED_IPV6, own.ipv4, own.ipv6]) {
    const from = ip.includes(":") ? "2001:db8:a::1" : "203.0.113.65";
    expect(await asker.ask(`send ${from} 9000 ${ip} 9 1 8`)).toBe("ok 1");
  }
  // Two questions and an answer of each family.
  await wire.reaches(6);
  const said = (await wire.packets()).join("\n");
  for (const ip of [SHARED_IPV4, SHARED_IPV6, own.ipv4, own.ipv6])
    expect(said).toContain(`who${ip.includes(":") ? " " : "-"}has ${ip}`);
  expect(said).toContain(`Reply ${own.ipv4}`);
  expect(said).toContain(`tgt is ${own.ipv6}`);
  expect(said).not.toContain(`Reply ${SHARED_IPV4}`);
  expect(said).not.toContain(`tgt is ${SHARED_IPV6}`);
  for (const ip of [SHARED_IPV4, SHARED_IPV6])
    await lab.exec("r1", ["ip", "route", "del", ip, "dev", "lan0"]);
  expect(await keeper.ask("undo")).toBe("ok");
});

test("[HS2] what a killed set-up did is undone by the next", async () => {
  const before = await stateOfHost();
  expect(await keeper.ask(`add ${SHARED_IPV4} ${SHARED_IPV6}`)).toBe("ok");
  expect(await stateOfHost()).not.toBe(before);
  await keeper.kill();
  keeper = await startKeeper();
  // It takes up the same addresses again, and still knows whose doing they are.
  expect(await keeper.ask(`add ${SHARED_IPV4} ${SHARED_IPV6}`)).toBe("ok");
  expect(await keeper.ask("undo")).toBe("ok");
  expect(await stateOfHost()).toBe(before);
});

test("[HS2] what was there before, or was changed since, is left alone", async () => {
  await lab.exec("h1", ["ip", "addr", "add", `${SHARED_IPV4}/32`, "dev", "lo"]);
  await set("net.ipv4.conf.all.arp_ignore=2");
  const before = await stateOfHost();
  expect(await keeper.ask(`add ${SHARED_IPV4}`)).toBe("ok");
  expect(await keeper.ask("undo")).toBe("ok");
  expect(await stateOfHost()).toBe(before);

  expect(await keeper.ask(`add ${SHARED_IPV4} ${SHARED_IPV6}`)).toBe("ok");
  await set("net.ipv4.conf.all.arp_announce=1");
  await lab.exec("h1", ["ip", "addr", "del", `${SHARED_IPV6}/128`, "dev", "lo"]);
  expect(await keeper.ask("undo")).toBe("ok");
  const { stdout } = await lab.exec("h1", ["sysctl", ...WATCHED]);
  expect(stdout).toBe("net.ipv4.conf.all.arp_ignore = 2\nnet.ipv4.conf.all.arp_announce = 1\n");
  await set("net.ipv4.conf.all.arp_ignore=0");
  await set("net.ipv4.conf.all.arp_announce=0");
  await lab.exec("h1", ["ip", "addr", "del", `${SHARED_IPV4}/32`, "dev", "lo"]);
});

test("[HS2] what was done before the machine booted needs no undoing", async () => {
  await set("net.ipv4.conf.all.arp_ignore=1");
  const before = await stateOfHost();
  const name = "net/ipv4/conf/all/arp_ignore";
  const settings = [{ name, before: "0", set: "1" }];
  const deeds = { bootId: "another", addresses: [], settings };
  await writeFile(join(lab.directory, "host-setup.json"), JSON.stringify(deeds));
  keeper = await startKeeper();
  expect(await keeper.ask("undo")).toBe("ok");
  expect(await stateOfHost()).toBe(before);
  await set("net.ipv4.conf.all.arp_ignore=0");
});

test("[HS3] a bare machine is told what it lacks, one that is set up is not", async () => {
  const lacking = (await problems()).join("\n");
  for (const word of [SHARED_IPV4, SHARED_IPV6, "arp_ignore", "arp_announce"])
    expect(lacking).toContain(word);
  expect(await keeper.ask(`add ${SHARED_IPV4} ${SHARED_IPV6}`)).toBe("ok");
  expect(await problems()).toEqual([]);
  expect(await keeper.ask("undo")).toBe("ok");
});

test("[HS3] each setting that keeps replies away is named", async () => {
  expect(await keeper.ask(`add ${SHARED_IPV4} ${SHARED_IPV6}`)).toBe("ok");
  await set("net.ipv4.ip_nonlocal_bind=1");
  expect(await problems()).toEqual([expect.stringContaining("net.ipv4.ip_nonlocal_bind is 1")]);
  await set("net.ipv4.ip_nonlocal_bind=0");

  await set("net.ipv4.conf.mgmt0.rp_filter=1");
  expect((await find()).map(({ sentence }) => sentence)).toContainEqual(
    expect.stringContaining("net.ipv4.conf.mgmt0.rp_filter is strict"),
  );
  await set("net.ipv4.conf.mgmt0.rp_filter=0");

  await lab.exec("h1", ["ip", "addr", "add", `${SHARED_IPV4}/32`, "dev", "lan0"]);
  expect(await problems()).toEqual([expect.stringContaining(`${SHARED_IPV4} is on lan0`)]);
  await lab.exec("h1", ["ip", "addr", "del", `${SHARED_IPV4}/32`, "dev", "lan0"]);

  await lab.exec("h1", ["ip", "-6", "route", "del", "default"]);
  expect(await problems()).toEqual([expect.stringContaining("no default route for IPv6")]);
  expect(await keeper.ask("undo")).toBe("ok");
});

test("[GU7] without root the guard says that it cannot be", async () => {
  expect(JSON.parse(await keeper.ask("availability"))).toEqual({
    ok: false,
    reason: "the agent does not run as root",
  });
});

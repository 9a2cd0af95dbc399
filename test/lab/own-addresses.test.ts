/** Which addresses are a machine's own, by its kernel: on every interface, in every way they come there. */
import { join } from "node:path";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { Lab } from "./lab.ts";
import type { LabProcess } from "./lab-process.ts";

let lab: Lab;
let asker: LabProcess;

beforeAll(async () => {
  lab = await Lab.create({ hosts: 1, routers: 1, areSharedConfigured: false });
  asker = lab.spawnNode("h1", join(import.meta.dirname, "address-asker.ts"));
  await asker.waitFor("ready\n");
});
afterAll(() => lab?.destroy());

const ip = (...words: string[]): Promise<unknown> => lab.exec("h1", ["ip", ...words]);
const areOwn = async (...ips: string[]): Promise<unknown> =>
  JSON.parse(await asker.ask(`own ${ips.join(" ")}`));
const later = (): Promise<string> => asker.ask("pass 1000");

test("[DE6] addresses on any interface are the machine's own, from the moment they are there", async () => {
  const ips = ["5.0.0.1", "5.0.1.1", "5.0.2.77", "2a00:1::1"];
  expect(await areOwn(...ips)).toEqual([false, false, false, false]);
  await ip("addr", "add", "5.0.0.1/32", "dev", "lo");
  // An interface without a carrier is not listed by everybody, and its address is reached nevertheless.
  await ip("link", "add", "idle0", "type", "bridge");
  await ip("link", "set", "idle0", "up");
  await ip("addr", "add", "5.0.1.1/24", "dev", "idle0");
  await ip("route", "add", "local", "5.0.2.0/24", "dev", "lo");
  await ip("addr", "add", "2a00:1::1/128", "dev", "lo");
  // The kernel makes the route of an IPv6 address a moment later, by itself.
  await vi.waitUntil(async () => {
    const { stdout } = await lab.exec("h1", ["ip", "-6", "route", "show", "table", "local", "2a00:1::1"]);
    return stdout.includes("2a00:1::1");
  });
  await later();
  expect(await areOwn(...ips)).toEqual([true, true, true, true]);
  // What had not been asked for before is right at once, whatever was asked about its neighbours.
  await ip("addr", "add", "5.0.0.2/32", "dev", "lo");
  expect(await areOwn("5.0.0.2", "5.0.0.3", "5.0.1.2", "2a00:1::2")).toEqual([true, false, false, false]);
});

test("[DE6] an address that is taken off is no more the machine's own a second later", async () => {
  await ip("addr", "add", "5.0.3.1/32", "dev", "lo");
  expect(await areOwn("5.0.3.1")).toEqual([true]);
  await ip("addr", "del", "5.0.3.1/32", "dev", "lo");
  await later();
  expect(await areOwn("5.0.3.1")).toEqual([false]);
});

test("[DE6] a machine that lets anybody bind to any address has no more of its own", async () => {
  await lab.exec("h1", ["sysctl", "-q", "-w", "net.ipv4.ip_nonlocal_bind=1", "net.ipv6.ip_nonlocal_bind=1"]);
  expect(await areOwn("5.0.9.9", "2a00:9::9")).toEqual([false, false]);
});

test("[DE6] without any way out, and for an address that nothing can be sent to, there is an answer", async () => {
  await ip("route", "flush", "table", "main");
  await later();
  expect(await areOwn("5.1.1.1", "255.255.255.255", "2a00:3::1", "5.0.0.1")).toEqual([
    false,
    false,
    false,
    true,
  ]);
});

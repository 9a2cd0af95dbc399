/** What an agent does to its machine, as far as that can be seen without a kernel to spare. */
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Logger, pino } from "pino";
import { afterEach, beforeEach, expect, test } from "vitest";
import { AddressPorts } from "../../src/agent/egress/address-ports.ts";
import { PortApplier } from "../../src/agent/egress/port-applier.ts";
import { Machine } from "../../src/agent/machine/guarded-machine.ts";

let directory: string;
let lines: { msg: string }[];
let log: Logger;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "ipshard-machine-"));
  lines = [];
  log = pino({}, { write: (line) => void lines.push(JSON.parse(line) as { msg: string }) });
});
afterEach(() => rm(directory, { recursive: true, force: true }));

test("[MA1] an address that cannot leave the machine needs nothing of it", async () => {
  const machine = await Machine.open("auto", directory, log);
  await machine.prepare("127.0.0.10");
  const ports = new PortApplier(new AddressPorts("127.0.0.10"));
  expect(machine.guarded("127.0.0.10", ports)).toBe(ports);
  await machine.close();
  expect(await readdir(directory)).toEqual([]);
  expect(lines).toEqual([]);
});

test("[GU7] without a guard the agent says once, and why, that only its binder keeps the law", async () => {
  const machine = await Machine.open("off", directory, log);
  await machine.prepare("192.0.2.1");
  await machine.prepare("192.0.2.1");
  await machine.prepare("192.0.2.2");
  expect(lines.map(({ msg }) => msg)).toEqual([
    "No guard in the kernel, since it is switched off: only this agent's own binder keeps to the leases.",
  ]);
  expect(await machine.describe()).toEqual({ guard: { active: false, reason: "it is switched off" } });
});

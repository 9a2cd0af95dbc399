/** The static slots of a host on its disk. */
import { chmod, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { Lease } from "../../src/core/lease-commands.ts";
import { CommandFault } from "../../src/process/command-fault.ts";
import { DamagedSlots, KeptSlots } from "../../src/link/kept-slots.ts";
import { StateDirectory } from "../../src/link/state-directory.ts";

const SLOT: Lease = { base: 4_096, order: 11, epoch: 7 };
const OTHER: Lease = { base: 8_192, order: 11, epoch: 9 };
const [IP, OTHER_IP] = ["192.0.2.1", "2001:db8::1"];

let directory: string;
let file: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "ipshard-slots-"));
  file = join(directory, "static-slots.json");
});

afterEach(async () => {
  await rm(directory, { recursive: true, force: true });
});

/** What a host finds that starts now. */
async function found(pool = "eu", instance = "instance-1"): Promise<Record<string, readonly Lease[]>> {
  return Object.fromEntries((await KeptSlots.open(file, instance)).of(pool));
}

test("[SM9] are there when they are kept, by pool and address, and gone when they are struck out", async () => {
  const kept = await KeptSlots.open(file, "instance-1");
  await kept.keep("eu", IP, [SLOT]);
  await kept.keep("eu", OTHER_IP, [OTHER]);
  await kept.keep("us", IP, [OTHER]);
  expect(Object.fromEntries(kept.of("eu"))).toEqual({ [IP]: [SLOT], [OTHER_IP]: [OTHER] });
  expect(await found()).toEqual({ [IP]: [SLOT], [OTHER_IP]: [OTHER] });
  expect(await found("us")).toEqual({ [IP]: [OTHER] });
  await kept.keep("eu", IP, []);
  expect(await found()).toEqual({ [OTHER_IP]: [OTHER] });
  await kept.keep("eu", OTHER_IP, []);
  expect(await found()).toEqual({});
});

test("[SM9] of another instance key count for nothing", async () => {
  const kept = await KeptSlots.open(file, "instance-1");
  await kept.keep("eu", IP, [SLOT]);
  expect(await found("eu", "instance-2")).toEqual({});
});

test("[SM9] that are kept at the same moment are all kept, the last one in the end", async () => {
  const kept = await KeptSlots.open(file, "instance-1");
  await Promise.all([
    kept.keep("eu", IP, [SLOT]),
    kept.keep("eu", OTHER_IP, [OTHER]),
    kept.keep("eu", IP, [OTHER]),
  ]);
  expect(await found()).toEqual({ [IP]: [OTHER], [OTHER_IP]: [OTHER] });
});

test("[SM9] that cannot be written are not said to be kept, and can be tried again", async () => {
  const kept = await KeptSlots.open(join(directory, "missing", "slots.json"), "instance-1");
  await expect(kept.keep("eu", IP, [SLOT])).rejects.toThrow("ENOENT");
  expect(kept.of("eu").size).toBe(0);
});

test("[SM9] with any one bit of the file another are refused, never others than were kept", async () => {
  const kept = await KeptSlots.open(file, "instance-1");
  await kept.keep("eu", IP, [SLOT]);
  const whole = await readFile(file);
  for (let at = 0; at < whole.length; at += 1) {
    for (const bit of [0, 3, 6]) {
      const damaged = Buffer.from(whole);
      damaged[at]! ^= 1 << bit;
      await writeFile(file, damaged);
      await expect(found()).rejects.toThrow(DamagedSlots);
    }
  }
});

test.each([
  ["cut off", (text: string) => text.slice(0, -10)],
  ["empty", () => ""],
  ["no JSON", () => "slots"],
  ["of another form", () => JSON.stringify({ slots: [] })],
])("[SM9] in a file that is %s are refused", async (_what, damage) => {
  const kept = await KeptSlots.open(file, "instance-1");
  await kept.keep("eu", IP, [SLOT]);
  await writeFile(file, damage(await readFile(file, "utf8")));
  await expect(found()).rejects.toThrow(DamagedSlots);
});

test("[SM9] damaged keep a host from starting, by name, until the file is removed", async () => {
  const state = await StateDirectory.open(directory, () => {});
  await state.slots.keep("eu", IP, [SLOT]);
  await state.close();
  await writeFile(file, "{}");
  const opened = StateDirectory.open(directory, () => {});
  await expect(opened).rejects.toBeInstanceOf(CommandFault);
  await expect(opened).rejects.toMatchObject({ code: "state-unusable" });
  await expect(opened).rejects.toThrow(/static-slots\.json is damaged.*Remove the file/);
  await rm(file);
  const again = await StateDirectory.open(directory, () => {});
  expect(again.slots.of("eu").size).toBe(0);
  expect(again.instance).toBe(state.instance);
  await again.close();
});

test("[SM9] [SD3] stay behind when a copied directory is begun anew on another machine", async () => {
  const identify = (id: string) => async () => new Map([["machine-id", id]]);
  const state = await StateDirectory.open(directory, () => {}, { identify: identify("one") });
  await state.slots.keep("eu", IP, [SLOT]);
  await state.close();
  await chmod(file, 0o600);
  const other = { identify: identify("two") };
  await expect(StateDirectory.open(directory, () => {}, other)).rejects.toMatchObject({
    code: "state-copied",
  });
  const renewed = await StateDirectory.open(directory, () => {}, { ...other, whenCopied: "renew" });
  expect(renewed.slots.of("eu").size).toBe(0);
  await renewed.close();
});

/** What may leave, and which units are for translation, on their way into the kernel together. */
import { expect, test } from "vitest";
import type { Permission } from "../../src/agent/machine/guard-ruleset.ts";
import { GuardWishes } from "../../src/agent/machine/guard-wishes.ts";

const IP = "192.0.2.1";
const BLOCK = { base: 1_280, order: 6 };
const TERM = { monotonicEndMs: 600_000, wallEndMs: 600_000 };

test("[GU4] [GU9] a word on translation does not open again what is being shut", async () => {
  const told: Permission[] = [];
  const follow: (() => void)[] = [];
  const permit = (permissions: readonly Permission[]): Promise<void> => {
    told.push(...permissions);
    const { promise, resolve } = Promise.withResolvers<void>();
    follow.push(resolve);
    return promise;
  };
  const kernel = { permit, rebuild: permit, isInForce: () => Promise.resolve(true) };
  const wishes = new GuardWishes(() => ({ monotonicMs: 0, wallMs: 0 }), kernel, []);
  const done = async (): Promise<void> => {
    for (let turn = 0; turn < 20; turn += 1) await Promise.resolve();
    for (const resolve of follow.splice(0)) resolve();
    for (let turn = 0; turn < 20; turn += 1) await Promise.resolve();
  };
  void wishes.allow(IP, [BLOCK], TERM);
  await done();
  void wishes.allow(IP, [], TERM);
  for (let turn = 0; turn < 20; turn += 1) await Promise.resolve();
  // The kernel has been asked to shut the block, and has not answered yet.
  void wishes.translate(IP, [20]);
  await done();
  await done();
  expect(told.map(({ blocks, translated }) => [blocks, translated])).toEqual([
    [[BLOCK], []],
    [[], []],
    [[], [20]],
  ]);
});

/** What each back end loses to other programs, and what it is refused: it is seen, said, and mended. */
import { rm } from "node:fs/promises";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { SteeringEntry } from "../../src/core/steering.ts";
import type { NftKernel } from "../../src/router/kernel/nft-kernel.ts";
import { type BackEnd, blocks, CONFIG, moveOf, RouterRig, tableOf } from "./router-rig.ts";

let rig: RouterRig;

function steeringBy(backEnd: BackEnd): void {
  beforeAll(async () => {
    rig = await RouterRig.create(backEnd);
  });

  beforeEach(() => rig.begin());

  afterEach(() => rig.clear());

  afterAll(() => rig?.lab.destroy());
}

describe("by nft", () => {
  steeringBy("nft");

  test("[RT2] what nft refuses changes nothing, is said in its words, and is healed by a repair", async () => {
    const [entry] = blocks() as [SteeringEntry];
    const { table } = CONFIG;
    const element = "{ 0xc0000201 . 2048 }";
    await rig.lab.exec("r1", ["nft", "delete", "element", "netdev", table, "via_lan0_ip4_11", element]);
    const kernel = rig.kernel as NftKernel;
    const before = await kernel.read();
    await expect(rig.kernel.apply(moveOf(entry, "h2"))).rejects.toMatchObject({
      code: "transaction-refused",
      message: expect.stringContaining("No such file or directory") as string,
    });
    expect((await kernel.read()).contents).toEqual(before.contents);
    expect(await rig.kernel.repair(tableOf(blocks()))).toMatchObject({ removedCount: 0, addedCount: 1 });
    await rig.kernel.apply(moveOf(entry, "h2"));
  });

  test.each(["flush ruleset", "delete table inet ipshard", "flush chain netdev ipshard ingress_up0"])(
    "[RT10] it is seen that the rules have gone by: %s",
    async (statement) => {
      const rules = async (): Promise<string> =>
        (await rig.lab.exec("r1", ["nft", "list", "ruleset"])).stdout;
      const before = await rules();
      expect(await rig.kernel.isInForce()).toBe(true);
      expect(await rules()).toBe(before);
      await rig.lab.exec("r1", ["nft", statement]);
      expect(await rig.kernel.isInForce()).toBe(false);
      await rig.kernel.repair(tableOf(blocks()));
      expect(await rig.kernel.isInForce()).toBe(true);
    },
  );
});

describe("by xdp", () => {
  steeringBy("xdp");

  test.each([
    ["it is taken off its device", ["ip", "link", "set", "dev", "up0", "xdp", "off"]],
    ["its rules of nft", ["nft", "flush", "ruleset"]],
    ["one of its tables", ["nft", "delete", "table", "inet", `${CONFIG.table}_xdp`]],
  ])("[RT10] it is seen that the program, or a rule behind it, has gone: %s", async (_, argv) => {
    expect(await rig.kernel.isInForce()).toBe(true);
    await rig.lab.exec("r1", argv);
    expect(await rig.kernel.isInForce()).toBe(false);
    await rig.kernel.repair(tableOf(blocks()));
    expect(await rig.kernel.isInForce()).toBe(true);
  });

  test("[RT2] a change that cannot be written is said, and healed by a repair", async () => {
    const [entry] = blocks() as [SteeringEntry];
    await rm(rig.mapFile("lines4"));
    await expect(rig.kernel.apply(moveOf(entry, "h2"))).rejects.toMatchObject({
      code: "transaction-refused",
      message: expect.stringContaining("No such file or directory") as string,
    });
    await rm(rig.pinDirectoryOf(CONFIG), { recursive: true });
    await rig.kernel.repair(tableOf(blocks()));
    await rig.kernel.apply(moveOf(entry, "h2"));
  });
});

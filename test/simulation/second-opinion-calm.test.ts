/** What is promised once all faults have ended: whether an outsider sees that it was not kept. */
import { describe, expect, test } from "vitest";
import { block, first, LEASE_MS, Story } from "./story.ts";

describe("calm", () => {
  function calm(): Story {
    return new Story()
      .leased(0, "a", "a1", first)
      .see(10, { type: "calm", machines: ["a"], leastHosts: 1, boundMs: 1000 });
  }

  test("[CALM] who wants to send and can, does so within the bound", () => {
    expect(calm().sent(1010, "a", 2050).see(2000, { type: "over" }).laws()).toEqual([]);
    expect(calm().sent(1011, "a", 2050).laws()).toEqual(["calm"]);
    expect(calm().see(1010, { type: "over" }).laws()).toEqual(["calm"]);
    const elsewhere = calm().see(11, {
      type: "promised",
      ip: "192.0.2.2",
      leaseDurationMs: 1,
      quarantineMs: 1,
    });
    expect(elsewhere.sent(12, "a", 2050).see(2000, { type: "over" }).laws()).toEqual([]);
  });

  test("[CALM] a run that ends before the bound proves nothing", () => {
    expect(calm().see(1009, { type: "over" }).laws()).toEqual([]);
    expect(calm().laws()).toEqual([]);
  });

  test("[CALM] on each address that was promised", () => {
    const unpromised = new Story().see(0, { type: "clock-set", ip: "192.0.2.3", byMs: 1 });
    unpromised
      .leased(0, "a", "a1", first)
      .see(10, { type: "calm", machines: ["a"], leastHosts: 1, boundMs: 1000 });
    expect(unpromised.sent(20, "a", 2050).see(2000, { type: "over" }).laws()).toEqual([]);
    const ip = "192.0.2.2";
    const story = new Story().see(0, { type: "promised", ip, leaseDurationMs: LEASE_MS, quarantineMs: 0 });
    story
      .leased(0, "a", "a1", first)
      .see(10, { type: "calm", machines: ["a"], leastHosts: 1, boundMs: 1000 });
    expect(story.sent(20, "a", 2050).see(2000, { type: "over" }).laws()).toEqual(["calm"]);
  });

  test("[CALM] as many on an address as it is to have, and nobody on none", () => {
    const machines = ["a", "b", "c"];
    const [second, third] = [block(4096, 6, 2), block(8192, 6, 3)];
    const story = (leastHosts: number): Story => {
      const begun = new Story().leased(0, "a", "a1", first).leased(0, "b", "b1", second);
      return begun.see(10, { type: "calm", machines, leastHosts, boundMs: 1000 }).sent(20, "a", 2050);
    };
    const ended = (last: Story): readonly unknown[] => last.see(2000, { type: "over" }).laws();
    // The third has not sent at all, though the address has enough.
    expect(ended(story(2).sent(21, "b", second.base))).toEqual(["calm"]);
    const both = (): Story => story(3).leased(22, "c", "c1", third).sent(23, "c", third.base);
    expect(ended(both())).toEqual(["calm"]);
    expect(ended(both().sent(24, "b", second.base))).toEqual([]);
  });
});

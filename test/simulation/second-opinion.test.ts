/** Small histories, right and wrong: whether an outsider sees which law was broken, and cries no wolf. */
import { describe, expect, test } from "vitest";
import type { History } from "./history.ts";
import { judge } from "./second-opinion.ts";
import { block, first, IP, LEASE_MS, next, QUARANTINE_MS, Story } from "./story.ts";

/** The slowest clock of a machine has counted a lease by then, the fastest of an address a quarantine. */
const LEASE_END_MS = LEASE_MS / 0.99;
const HOLD_MS = QUARANTINE_MS / 1.01;

describe("one sender", () => {
  /** Two machines that both think until the end that a block is theirs. */
  function twoHolders(): Story {
    return new Story()
      .leased(0, "a", "a1", first)
      .sent(1, "a", 2050)
      .yielded(2, "a")
      .leased(200_000, "b", "b1", next)
      .sent(200_001, "b", 2050);
  }

  test("[LAW1] a machine is silent once another has sent from its ports", () => {
    expect(twoHolders().laws()).toEqual([]);
    expect(twoHolders().sent(300_000, "a", 2050).laws()).toEqual([1]);
    expect(twoHolders().sent(300_000, "a", 2051).laws()).toEqual([1]);
    expect(twoHolders().sent(300_000, "a", 2050).sent(300_001, "b", 2050).laws()).toEqual([1]);
  });

  test("[LAW1] the verdict says who, where and when", () => {
    expect(judge(twoHolders().sent(300_000, "a", 2050).sightings)).toEqual([
      {
        law: 1,
        atMs: 300_000,
        index: 8,
        sentence:
          "a sent from 192.0.2.1:2050 under epoch 1, when b had sent from 192.0.2.1:2048-2175 (epoch 2)",
      },
    ]);
  });

  test("[LAW1] a machine may come back under a later grant", () => {
    const back = twoHolders()
      .yielded(200_002, "b")
      .leased(400_000, "a", "a2", block(2048, 7, 3));
    expect(back.sent(400_001, "a", 2050).laws()).toEqual([]);
    expect(back.sent(400_002, "b", 2050).laws()).toEqual([1]);
  });

  test("[LAW1] ports, addresses and blocks are apart", () => {
    const apart = new Story()
      .leased(0, "a", "a1", first)
      .sent(1, "a", 2175)
      .leased(2, "b", "b1", block(2176, 6, 2))
      .sent(3, "b", 2176)
      .sent(4, "a", 2175);
    expect(apart.laws()).toEqual([]);
    // Another address has epochs of its own.
    const ip = "192.0.2.2";
    apart
      .see(5, { type: "asked", machine: "b", ip, requestId: "b2" })
      .see(5, {
        type: "told",
        machine: "b",
        ip,
        requestId: "b2",
        leaseDurationMs: LEASE_MS,
        blocks: [first],
        granted: first,
      })
      .see(6, { type: "sent", machine: "b", ip, port: 2050 });
    expect(apart.sent(7, "a", 2050).laws()).toEqual([]);
  });

  test("[LAW1] a part of a block is as good as all of it", () => {
    const part = new Story().leased(0, "a", "a1", block(4096, 12, 1)).sent(1, "a", 8191);
    part
      .yielded(2, "a")
      .leased(200_000, "b", "b1", block(4160, 6, 2))
      .sent(200_001, "b", 4160);
    expect(part.laws()).toEqual([]);
    expect(part.sent(200_002, "a", 4200).laws()).toEqual([1]);
  });

  test("[LAW1] of two grants that a machine may believe in, the later counts", () => {
    const story = new Story()
      .leased(0, "b", "b1", next)
      .yielded(1, "b")
      .asked(1, "a", "a1")
      .asked(2, "a", "a2")
      .told(200_000, "a", "a2", [block(2048, 7, 3)])
      .told(200_001, "a", "a1", [first]);
    expect(story.sent(200_002, "a", 2050).laws()).toEqual([]);
    expect(story.steered(200_003, null, 2050).laws()).toEqual([4]);
  });

  test("[LAW1] a machine may have ports of a block anew while it keeps the others", () => {
    const story = new Story()
      .asked(0, "a", "a1")
      .asked(0, "a", "a2")
      .told(1, "a", "a1", [first])
      .told(1, "a", "a2", [block(2048, 6, 2)]);
    expect(story.sent(2, "a", 2048).sent(2, "a", 2112).laws()).toEqual([]);
  });

  test("[LAW1] whoever has the ports last counts, though another had them in between", () => {
    const story = new Story().leased(0, "a", "a1", first).yielded(1, "a").leased(200_000, "c", "c1", next);
    story
      .yielded(200_001, "c")
      .leased(400_000, "b", "b1", block(2048, 7, 3))
      .sent(400_001, "b", 2050);
    expect(story.sent(400_002, "a", 2050).laws()).toEqual([1]);
  });
});

describe("fail closed", () => {
  test("[LAW2] a machine that was told nothing sends nothing", () => {
    expect(new Story().sent(1, "a", 2050).laws()).toEqual([2]);
    expect(new Story().asked(0, "a", "a1").sent(1, "a", 2050).laws()).toEqual([2]);
    const story = new Story().leased(0, "a", "a1", first);
    expect(story.sent(1, "a", 2048).sent(1, "a", 2175).laws()).toEqual([]);
    expect(story.sent(2, "a", 2047).sent(2, "a", 2176).sent(2, "b", 2048).laws()).toEqual([2, 2, 2]);
  });

  test("[LAW2] an answer to what this machine never asked gives it nothing", () => {
    const story = new Story().asked(0, "a", "a1").told(1, "b", "a1", [first]).sent(2, "b", 2050);
    expect(story.laws()).toEqual([2]);
  });

  test("[LAW2] a block that a newer listing leaves out is over at once", () => {
    const story = new Story().leased(0, "a", "a1", first).leased(10, "a", "a2");
    expect(story.sent(10, "a", 2050).laws()).toEqual([]);
    expect(story.sent(11, "a", 2050).laws()).toEqual([2]);
    const other = new Story().leased(0, "a", "a1", first).leased(10, "a", "a2", block(4096, 7, 2));
    expect(other.sent(11, "a", 4096).laws()).toEqual([]);
    expect(other.sent(11, "a", 2050).laws()).toEqual([2]);
  });

  test("[LAW2] of two answers that overtook each other, either may be the newer", () => {
    const story = new Story()
      .asked(0, "a", "a1")
      .asked(1, "a", "a2")
      .told(2, "a", "a1", [first])
      .told(3, "a", "a2", []);
    expect(story.sent(4, "a", 2050).laws()).toEqual([]);
    // What is asked after both settles it.
    expect(story.leased(5, "a", "a3").sent(6, "a", 2050).laws()).toEqual([2]);
  });

  test("[LAW2] an old answer that is read late can be news, but brings back nothing that has ended", () => {
    const late = new Story().asked(0, "a", "a1").leased(1, "a", "a2").told(2, "a", "a1", [first]);
    expect(late.sent(3, "a", 2050).laws()).toEqual([]);
    const again = new Story().leased(0, "a", "a1", first).leased(1, "a", "a2").told(2, "a", "a1", [first]);
    expect(again.sent(3, "a", 2050).laws()).toEqual([2]);
  });

  test("[LAW2] an answer that is read twice stays one", () => {
    const story = new Story().leased(0, "a", "a1", first).told(1, "a", "a1", [first]).sent(2, "a", 2050);
    expect(story.leased(3, "a", "a2").told(4, "a", "a1", [first]).sent(5, "a", 2050).laws()).toEqual([2]);
  });

  test("[LAW2] a block that was left out once and is listed again may be used again", () => {
    const story = new Story().leased(0, "a", "a1", first).leased(1, "a", "a2").leased(2, "a", "a3", first);
    expect(story.sent(3, "a", 2050).laws()).toEqual([]);
  });

  test("[LAW2] a block ends once", () => {
    const story = new Story().leased(0, "a", "a1", first).leased(1, "a", "a2").told(2, "a", "a1", [first]);
    expect(story.leased(3, "a", "a3").sent(3, "a", 2050).laws()).toEqual([2]);
  });
});

describe("the host outlives doubt", () => {
  test("[LAW3] time counts from the first sending of the request, by the slowest clock", () => {
    const story = new Story()
      .asked(0, "a", "a1")
      .asked(100_000, "a", "a1")
      .told(200_000, "a", "a1", [first])
      .sent(Math.floor(LEASE_END_MS), "a", 2050);
    expect(story.laws()).toEqual([]);
    expect(story.sent(Math.ceil(LEASE_END_MS), "a", 2050).laws()).toEqual([3]);
  });

  test("[LAW3] a renewal prolongs, an answer without time does not", () => {
    const renewed = new Story().leased(0, "a", "a1", first).leased(200_000, "a", "a2", first);
    expect(renewed.sent(800_000, "a", 2050).laws()).toEqual([]);
    const listed = new Story().leased(0, "a", "a1", first).asked(200_000, "a", "a2");
    listed.told(200_001, "a", "a2", [first, block(4096, 6, 2)], { leaseDurationMs: null });
    expect(listed.sent(600_000, "a", 2050).sent(600_000, "a", 4096).laws()).toEqual([]);
    expect(listed.sent(620_000, "a", 2050).sent(620_000, "a", 4096).laws()).toEqual([3, 3]);
    const never = new Story().asked(0, "a", "a1").told(1, "a", "a1", [first], { leaseDurationMs: null });
    expect(never.sent(2, "a", 2050).laws()).toEqual([3]);
  });

  test("[LAW3] a restart ends nothing that the kernel was allowed, and prolongs nothing", () => {
    const story = new Story().leased(0, "a", "a1", first).see(1, { type: "ended", machine: "a" });
    story
      .started(2, "a")
      .sent(3, "a", 2050)
      .leased(4, "a", "a2", block(4096, 6, 2));
    expect(story.sent(5, "a", 2050).sent(5, "a", 4096).laws()).toEqual([]);
    expect(story.sent(606_062, "a", 2050).laws()).toEqual([3]);
  });

  test("[LAW3] of two lives, the one that allows more counts", () => {
    const listed = new Story().leased(0, "a", "a1", first).started(1, "a").asked(2, "a", "a2");
    listed.told(3, "a", "a2", [first], { leaseDurationMs: null });
    expect(listed.sent(4, "a", 2050).laws()).toEqual([]);
    const regained = new Story().leased(0, "a", "a1", first).yielded(1, "a").leased(200_000, "b", "b1", next);
    regained
      .yielded(200_000, "b")
      .started(200_001, "a")
      .leased(400_000, "a", "a2", block(2048, 7, 3));
    expect(regained.sent(400_001, "a", 2050).laws()).toEqual([]);
    expect(regained.steered(400_002, null, 2050).laws()).toEqual([4]);
  });

  test("[LAW3] the last instant of the slowest clock is in time", () => {
    const story = () =>
      new Story().asked(0, "a", "a1").told(0, "a", "a1", [first], { leaseDurationMs: 99_000 });
    expect(story().sent(100_000, "a", 2050).laws()).toEqual([]);
    expect(story().sent(100_001, "a", 2050).laws()).toEqual([3]);
  });

  test("[LAW3] a machine is silent before another is told that it has its ports", () => {
    const story = new Story().leased(0, "a", "a1", first).yielded(1, "a").leased(200_000, "b", "b1", next);
    expect(story.laws()).toEqual([]);
    expect(story.sent(200_001, "a", 2050).laws()).toEqual([3]);
  });

  test("[LAW3] also when only some of its ports are another's", () => {
    const story = () =>
      new Story()
        .leased(0, "a", "a1", first)
        .yielded(1, "a")
        .leased(200_000, "b", "b1", block(2048, 6, 2));
    expect(story().sent(200_001, "a", 2112).laws()).toEqual([3]);
    expect(story().sent(200_001, "b", 2050).sent(200_002, "a", 2112).laws()).toEqual([3]);
    expect(story().sent(200_001, "b", 2050).sent(200_002, "a", 2050).laws()).toEqual([1]);
  });

  test("[LAW3] when its time is over too, that is one fault unless both send", () => {
    const story = () =>
      new Story().leased(0, "a", "a1", first).yielded(1, "a").leased(610_000, "b", "b1", next);
    expect(story().sent(610_001, "a", 2050).laws()).toEqual([3]);
    expect(story().sent(610_001, "b", 2050).sent(610_002, "a", 2050).laws()).toEqual([3, 1]);
  });
});

describe("router before host", () => {
  function replying(): Story {
    return new Story()
      .leased(0, "b", "b1", block(4096, 7, 1))
      .leased(0, "a", "a1", block(2048, 7, 2))
      .sent(1000, "a", 2050);
  }

  test("[LAW4] an attentive router hands a reply to the machine that has sent and may send", () => {
    expect(replying().steered(1001, "a", 2050).laws()).toEqual([]);
    expect(replying().steered(1001, "b", 2050).laws()).toEqual([4]);
    expect(replying().steered(1001, null, 2050).laws()).toEqual([4]);
    expect(replying().steered(1001, null, 2051).laws()).toEqual([4]);
    expect(replying().steered(1001, null, 2176).laws()).toEqual([]);
  });

  test("[LAW4] it does so until the address's clock may have ended the lease", () => {
    const endsMs = LEASE_MS / 1.01;
    expect(replying().steered(Math.floor(endsMs), null, 2050).laws()).toEqual([4]);
    expect(replying().steered(Math.ceil(endsMs), null, 2050).laws()).toEqual([]);
    expect(replying().clockSet(2000, 60_000).steered(540_000, null, 2050).laws()).toEqual([]);
    expect(replying().clockSet(2000, -60_000).steered(540_000, null, 2050).laws()).toEqual([4]);
  });

  test("[LAW4] a renewal prolongs that", () => {
    const story = replying().leased(300_000, "a", "a2", block(2048, 7, 2));
    expect(story.steered(700_000, null, 2050).laws()).toEqual([4]);
    expect(story.steered(900_000, null, 2050).laws()).toEqual([4]);
  });

  test("[LAW4] a router out of touch may drop and be wrong", () => {
    const story = replying().steered(1001, "b", 2050, false).steered(1001, null, 2050, false);
    expect(story.laws()).toEqual([]);
  });

  test("[LAW4] no router hands packets to a machine that has never asked", () => {
    expect(replying().steered(1001, "c", 2050, false).laws()).toEqual([4]);
    expect(replying().steered(1001, "c", 9000).laws()).toEqual([4]);
  });

  test("[LAW4] who may have given a block back may lose its packets, but not to another", () => {
    const asking = replying().asked(2000, "a", "a2");
    expect(asking.steered(2001, null, 2050).steered(2001, "a", 2050).laws()).toEqual([]);
    expect(asking.steered(2002, "b", 2050).laws()).toEqual([4]);
    const kept = replying().leased(2000, "a", "a2", block(2048, 7, 2));
    expect(kept.steered(2001, null, 2050).laws()).toEqual([4]);
    const gone = replying().leased(2000, "a", "a2");
    expect(gone.steered(2001, null, 2050).laws()).toEqual([]);
    // It can be another's when the quarantine since its last packet is over, and the routers know first.
    expect(gone.steered(1000 + Math.ceil(HOLD_MS) + 1000, "b", 2050).laws()).toEqual([]);
    expect(gone.steered(200_000, "b", 2050).laws()).toEqual([]);
  });

  test("[LAW4] a router may know of a grant of which its machine has not read", () => {
    const story = new Story().asked(0, "a", "a1").steered(1, "a", 2050).told(2, "a", "a1", [first]);
    expect(story.laws()).toEqual([]);
    // Nor must it know before the machine sends.
    expect(story.steered(3, null, 2050).laws()).toEqual([]);
  });

  test("[LAW4] a router may not know of a grant before its machine sends", () => {
    const story = new Story().asked(0, "b", "b1").leased(0, "a", "a1", first).steered(1, "b", 2050);
    expect(story.laws()).toEqual([]);
  });

  test("[LAW4] who sends has not given the block back, until it is told so", () => {
    const story = () => replying().asked(2000, "a", "a2").sent(2001, "a", 2050);
    expect(story().steered(2002, null, 2050).laws()).toEqual([4]);
    expect(story().told(2002, "a", "a2", []).steered(2003, null, 2050).laws()).toEqual([]);
  });
});

describe("epochs only rise", () => {
  const other = block(4096, 7, 1);

  test("[LAW5] two blocks, or two machines, never have the same epoch", () => {
    const story = () => new Story().asked(0, "b", "b1").leased(0, "a", "a1", first);
    expect(story().told(1, "b", "b1", [other]).laws()).toEqual([5]);
    expect(story().told(1, "b", "b1", [first]).laws()).toEqual([5]);
    expect(story().leased(1, "a", "a2", first, other).laws()).toEqual([5]);
    expect(
      story()
        .leased(1, "a", "a2", block(2048, 6, 1))
        .laws(),
    ).toEqual([5]);
    expect(story().told(1, "b", "b1", [], { granted: first }).laws()).toEqual([5]);
    expect(story().told(1, "b", "b1", [first], { granted: first }).laws()).toEqual([5]);
    // What another sends under an epoch that was given twice says nothing of the machine that has it.
    const twice = story().told(1, "b", "b1", [first]).sent(2, "b", 2050).steered(3, null, 2050);
    expect(twice.laws()).toEqual([5]);
    expect(
      story()
        .told(1, "b", "b1", [block(4096, 7, 2)])
        .laws(),
    ).toEqual([]);
  });

  test("[LAW5] a new grant is above all that was known when it was asked for", () => {
    const low = block(4096, 7, 1);
    const high = block(2048, 7, 5);
    const late = new Story().asked(0, "b", "b1").leased(1, "a", "a1", high);
    expect(late.told(2, "b", "b1", [low], { granted: low }).laws()).toEqual([]);
    const wrong = new Story().leased(1, "a", "a1", high).asked(2, "b", "b1");
    expect(wrong.told(3, "b", "b1", [low], { granted: low }).laws()).toEqual([5]);
    const repeated = new Story().asked(0, "b", "b1").told(1, "b", "b1", [low], { granted: low });
    repeated.leased(2, "a", "a1", high).asked(3, "b", "b1");
    expect(repeated.told(4, "b", "b1", [low], { granted: low }).laws()).toEqual([]);
  });

  test("[LAW5] a machine is not told of a block under an epoch that another's has passed", () => {
    const passed = () =>
      new Story().leased(0, "a", "a1", first).yielded(1, "a").leased(200_000, "b", "b1", next);
    expect(passed().told(200_001, "a", "a1", [first]).laws()).toEqual([]);
    expect(passed().leased(200_001, "a", "a2", first).laws()).toEqual([5]);
    const lower = new Story().asked(0, "b", "b1").leased(0, "a", "a1", next).asked(1, "b", "b2");
    expect(lower.told(200_000, "b", "b1", [block(2112, 6, 1)]).laws()).toEqual([]);
    expect(lower.told(200_001, "b", "b2", [block(2112, 6, 1)]).laws()).toEqual([5]);
  });
});

describe("quarantine", () => {
  test("[LAW6] nobody else has a block before the quarantine since its last packet is over", () => {
    const story = () => new Story().leased(0, "a", "a1", first).sent(50_000, "a", 2050).yielded(50_000, "a");
    const freeMs = 50_000 + HOLD_MS;
    expect(story().leased(Math.floor(freeMs), "b", "b1", next).laws()).toEqual([6]);
    expect(story().leased(Math.ceil(freeMs), "b", "b1", next).laws()).toEqual([]);
    expect(
      story()
        .leased(Math.floor(freeMs), "b", "b1", block(2112, 6, 2))
        .laws(),
    ).toEqual([6]);
    expect(story().leased(Math.floor(freeMs), "a", "a2", next).laws()).toEqual([]);
    expect(
      story()
        .leased(60_000, "b", "b1", block(2176, 6, 2))
        .laws(),
    ).toEqual([]);
  });

  test("[LAW6] nor since the holder's last renewal, though it was silent", () => {
    const story = () =>
      new Story().leased(0, "a", "a1", first).leased(50_000, "a", "a2", first).yielded(50_000, "a");
    expect(story().leased(168_000, "b", "b1", next).laws()).toEqual([6]);
    expect(story().leased(169_000, "b", "b1", next).laws()).toEqual([]);
    const sent = () =>
      new Story()
        .leased(0, "a", "a1", first)
        .sent(10, "a", 2050)
        .leased(50_000, "a", "a2", first)
        .yielded(50_000, "a");
    expect(sent().leased(168_000, "b", "b1", next).laws()).toEqual([6]);
    expect(sent().leased(169_000, "b", "b1", next).laws()).toEqual([]);
  });

  test("[LAW6] who has asked for nothing since has given nothing back", () => {
    const freeMs = (LEASE_MS + QUARANTINE_MS) / 1.01;
    const told = () => new Story().leased(0, "a", "a1", first);
    expect(told().leased(Math.floor(freeMs), "b", "b1", next).laws()).toEqual([6]);
    expect(told().leased(Math.ceil(freeMs), "b", "b1", next).laws()).toEqual([]);
    const sent = () => told().asked(1, "a", "a2").sent(2, "a", 2050);
    expect(sent().leased(Math.floor(freeMs), "b", "b1", next).laws()).toEqual([6]);
    expect(sent().leased(Math.ceil(freeMs), "b", "b1", next).laws()).toEqual([]);
    const ended = sent().told(3, "a", "a2", []);
    expect(ended.leased(2 + Math.ceil(HOLD_MS), "b", "b1", next).laws()).toEqual([]);
    const set = told().clockSet(1, 300_000);
    expect(set.leased(Math.ceil(freeMs - 300_000 / 1.01), "b", "b1", next).laws()).toEqual([]);
  });

  test("[LAW6] the address's clock is set forward, backward", () => {
    const story = (byMs: number) =>
      new Story()
        .leased(0, "a", "a1", first)
        .sent(50_000, "a", 2050)
        .yielded(50_000, "a")
        .clockSet(60_000, byMs);
    expect(
      story(60_000)
        .leased(50_000 + 60_000, "b", "b1", next)
        .laws(),
    ).toEqual([]);
    expect(
      story(60_000)
        .leased(50_000 + 59_000, "b", "b1", next)
        .laws(),
    ).toEqual([6]);
    expect(
      story(-60_000)
        .leased(50_000 + 118_000, "b", "b1", next)
        .laws(),
    ).toEqual([6]);
    expect(
      story(-60_000)
        .leased(50_000 + 119_000, "b", "b1", next)
        .laws(),
    ).toEqual([]);
    const before = new Story().clockSet(0, 60_000).leased(1, "a", "a1", first).sent(50_000, "a", 2050);
    before.yielded(50_000, "a");
    expect(before.leased(110_000, "b", "b1", next).laws()).toEqual([6]);
  });

  test("[LAW6] a lease that lapses for a fast clock, while a slow host uses it up", () => {
    const lastMs = Math.floor(LEASE_END_MS);
    const story = () => new Story().leased(0, "a", "a1", first).sent(lastMs, "a", 2050);
    const freeMs = (LEASE_MS + QUARANTINE_MS) / 1.01;
    expect(freeMs).toBeLessThan(lastMs + HOLD_MS);
    expect(story().leased(Math.floor(freeMs), "b", "b1", next).laws()).toEqual([6]);
    expect(story().leased(Math.ceil(freeMs), "b", "b1", next).laws()).toEqual([]);
  });

  test("[LAW6] the answer that ends a block prolongs nothing of it", () => {
    // The clock has ended the lease by a leap; the resets are the last that leaves.
    const story = () =>
      new Story().leased(0, "a", "a1", first).clockSet(1, 100_000).leased(500_000, "a", "a2");
    const heir = (atMs: number) => story().sent(500_000, "a", 2050).leased(atMs, "b", "b1", next);
    const freeMs = (LEASE_MS + QUARANTINE_MS - 100_000) / 1.01;
    expect(freeMs).toBeLessThan(500_000 + HOLD_MS);
    expect(heir(Math.floor(freeMs)).laws()).toEqual([6]);
    expect(heir(Math.ceil(freeMs)).laws()).toEqual([]);
  });

  test("[LAW3] of a block that was lost more than once, the last time counts", () => {
    const again = block(2048, 7, 3);
    const story = new Story().leased(0, "a", "a1", first).leased(1000, "a", "a2");
    story.leased(700_000, "a", "a3", again).leased(700_001, "a", "a4").sent(700_002, "a", 2050);
    expect(judge(story.sightings, 1_000_000)).toEqual([]);
  });

  test("[LAW6] the quarantine is what was promised at the time", () => {
    const promised = (story: Story, atMs: number, quarantineMs: number) =>
      story.see(atMs, { type: "promised", ip: IP, leaseDurationMs: LEASE_MS, quarantineMs });
    const story = () => new Story().leased(0, "a", "a1", first).sent(50_000, "a", 2050).yielded(50_000, "a");
    expect(promised(story(), 60_000, 30_000).leased(80_000, "b", "b1", next).laws()).toEqual([]);
    expect(promised(story(), 60_000, 300_000).leased(170_000, "b", "b1", next).laws()).toEqual([]);
    const shorter = promised(new Story(), 0, 300_000).leased(0, "a", "a1", first).sent(50_000, "a", 2050);
    shorter.yielded(50_000, "a");
    expect(shorter.leased(200_000, "b", "b1", next).laws()).toEqual([6]);
  });
});

test("a history that cannot be is refused", () => {
  const backwards: History = [
    { atMs: 2, type: "over" },
    { atMs: 1, type: "over" },
  ];
  expect(() => judge(backwards)).toThrow("time fell from 2 to 1 ms");
  for (const impossible of [block(2049, 6, 1), block(960, 6, 1), block(2048, 5, 1), block(8192, 13, 1)]) {
    expect(() => new Story().leased(0, "a", "a1", impossible).laws()).toThrow("no block begins at");
  }
});

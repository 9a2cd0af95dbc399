/** A block behind the guard: used once the kernel lets it out, and not before. */
import { expect, test } from "vitest";
import { GuardedPorts, type Permitting } from "../../src/agent/machine/guarded-ports.ts";
import type { KeeperPorts } from "../../src/agent/egress/keeper-ports.ts";
import type { LeaseTerm } from "../../src/core/lease-term.ts";
import type { PortBlock } from "../../src/core/port-block.ts";

const IP = "192.0.2.1";
const TERM: LeaseTerm = { monotonicEndMs: 1_000, wallEndMs: 1_000 };
const LEASE = { base: 2_048, order: 8, epoch: 7 };

/** A kernel that answers when the test says so. */
function slowKernel() {
  const told: { blocks: readonly PortBlock[]; term: LeaseTerm | null; answer: (fault?: Error) => void }[] =
    [];
  const guard: Permitting = {
    allow: (_ip, blocks, term) =>
      new Promise((resolve, reject) => {
        told.push({ blocks, term, answer: (fault) => (fault ? reject(fault) : resolve()) });
      }),
  };
  return { told, guard };
}

/** A binder that writes down what it is told. */
function notingPorts(): { ports: KeeperPorts; notes: string[] } {
  const notes: string[] = [];
  const ports: KeeperPorts = {
    addBlock: ({ epoch }) => void notes.push(`add ${epoch}`),
    drainBlock: (epoch) => void notes.push(`drain ${epoch}`),
    resumeBlock: (epoch) => void notes.push(`resume ${epoch}`),
    removeBlock: (epoch) => void notes.push(`remove ${epoch}`),
    isSilent: () => true,
    onSilence: null,
    setTerm: (term) => void notes.push(term === null ? "no term" : "term"),
    flowCount: () => 3,
    capacity: () => ({ portCount: 256, busiestCount: 9 }),
    growthOutstanding: false,
    endGrowth: () => void notes.push("end growth"),
  };
  return { ports, notes };
}

function rig() {
  const { told, guard } = slowKernel();
  const { ports, notes } = notingPorts();
  const faults: unknown[] = [];
  const guarded = new GuardedPorts(IP, ports, guard, (fault) => faults.push(fault));
  const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  return { told, notes, faults, guarded, settled };
}

test("[MA2] a block reaches the binder when the kernel has said yes, not before", async () => {
  const { told, notes, guarded, settled } = rig();
  guarded.setTerm(TERM);
  told[0]!.answer();
  guarded.addBlock(LEASE);
  await settled();
  expect(notes).toEqual(["term"]);
  expect(told[1]).toMatchObject({ blocks: [LEASE], term: TERM });
  told[1]!.answer();
  await settled();
  expect(notes).toEqual(["term", "add 7"]);
});

test("[MA2] a block without a term waits for one", async () => {
  const { told, notes, guarded, settled } = rig();
  guarded.addBlock(LEASE);
  told[0]!.answer();
  await settled();
  expect(notes).toEqual([]);
  guarded.setTerm(TERM);
  told[1]!.answer();
  await settled();
  expect(notes).toEqual(["term", "add 7"]);
});

test("[MA2] what was given up while the kernel was being told is never used", async () => {
  const { told, notes, guarded, settled } = rig();
  guarded.setTerm(TERM);
  guarded.addBlock(LEASE);
  guarded.removeBlock(LEASE.epoch);
  for (const { answer } of told) answer();
  await settled();
  expect(notes).toEqual(["term", "remove 7"]);
  expect(told.at(-1)!.blocks).toEqual([]);
});

test("[MA2] flows are reset before the kernel shuts their ports, so that the resets get out", () => {
  const { told, notes, guarded } = rig();
  guarded.setTerm(TERM);
  guarded.addBlock(LEASE);
  const before = told.length;
  guarded.removeBlock(LEASE.epoch);
  expect(notes.at(-1)).toBe("remove 7");
  expect(told.length).toBe(before + 1);
});

test("[MA2] a kernel that fails keeps new blocks unused until a renewal gets through", async () => {
  const { told, notes, faults, guarded, settled } = rig();
  guarded.setTerm(TERM);
  guarded.addBlock(LEASE);
  told[0]!.answer(new Error("no"));
  told[1]!.answer(new Error("no"));
  await settled();
  expect(faults).toHaveLength(2);
  expect(notes).toEqual(["term"]);
  guarded.setTerm(TERM);
  told[2]!.answer();
  await settled();
  expect(notes).toEqual(["term", "term", "add 7"]);
});

test("[MA3] a removed block is silent when the kernel has said so, and then whoever waits is told", async () => {
  const { told, notes, guarded, settled } = rig();
  guarded.onSilence = () => void notes.push("silence");
  guarded.setTerm(TERM);
  guarded.addBlock(LEASE);
  for (const { answer } of told) answer();
  await settled();
  guarded.removeBlock(LEASE.epoch);
  expect(guarded.isSilent(LEASE.epoch)).toBe(false);
  told.at(-1)!.answer(new Error("the kernel does not listen"));
  await settled();
  expect(guarded.isSilent(LEASE.epoch)).toBe(false);
  expect(notes).not.toContain("silence");
  // The next renewal tries again.
  guarded.setTerm(TERM);
  expect(told.at(-1)).toMatchObject({ blocks: [] });
  told.at(-1)!.answer();
  await settled();
  expect(guarded.isSilent(LEASE.epoch)).toBe(true);
  expect(notes.at(-1)).toBe("silence");
});

test("[MA3] a block that was removed before the kernel knew of it still waits for its word", async () => {
  const { told, guarded, settled } = rig();
  guarded.setTerm(TERM);
  guarded.addBlock(LEASE);
  guarded.removeBlock(LEASE.epoch);
  expect(guarded.isSilent(LEASE.epoch)).toBe(false);
  for (const { answer } of told) answer();
  await settled();
  expect(guarded.isSilent(LEASE.epoch)).toBe(true);
});

test("[MA3] a block that came back and went again waits for the word on its last removal", async () => {
  const { told, notes, guarded, settled } = rig();
  guarded.onSilence = () => void notes.push("silence");
  guarded.setTerm(TERM);
  guarded.addBlock(LEASE);
  for (const { answer } of told) answer();
  await settled();
  guarded.removeBlock(LEASE.epoch);
  const firstRemoval = told.at(-1)!;
  guarded.addBlock(LEASE);
  const again = told.at(-1)!;
  guarded.removeBlock(LEASE.epoch);
  const lastRemoval = told.at(-1)!;
  firstRemoval.answer();
  await settled();
  expect(guarded.isSilent(LEASE.epoch)).toBe(false);
  again.answer();
  await settled();
  expect(guarded.isSilent(LEASE.epoch)).toBe(false);
  expect(notes).not.toContain("silence");
  lastRemoval.answer();
  await settled();
  expect(guarded.isSilent(LEASE.epoch)).toBe(true);
  expect(notes.at(-1)).toBe("silence");
});

test("[LK11] a block that drains is taken up again in the binder, or waits for the kernel once more", async () => {
  const { told, notes, guarded, settled } = rig();
  guarded.setTerm(TERM);
  told[0]!.answer();
  guarded.addBlock(LEASE);
  guarded.drainBlock(LEASE.epoch);
  told[1]!.answer();
  await settled();
  guarded.resumeBlock(LEASE.epoch);
  expect(notes).toEqual(["term", `drain ${LEASE.epoch}`]);
  told[2]!.answer();
  await settled();
  guarded.drainBlock(LEASE.epoch);
  guarded.resumeBlock(LEASE.epoch);
  const [drain, resume] = [`drain ${LEASE.epoch}`, `resume ${LEASE.epoch}`];
  expect(notes).toEqual(["term", drain, `add ${LEASE.epoch}`, drain, resume]);
  expect(told).toHaveLength(3);
});

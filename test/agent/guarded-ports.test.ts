/** A block behind the guard: used once the kernel lets it out, and not before. */
import { expect, test } from "vitest";
import type { PortCommand, PortControl, PortReport } from "../../src/agent/egress/port-messages.ts";
import { GuardedPorts, type Permitting } from "../../src/agent/machine/guarded-ports.ts";
import { ENDLESS_TERM, type LeaseTerm } from "../../src/core/lease-term.ts";
import type { PortBlock } from "../../src/core/port-block.ts";

const IP = "192.0.2.1";
const TERM: LeaseTerm = { monotonicEndMs: 1_000, wallEndMs: 1_000 };
const NEXT_TERM: LeaseTerm = { monotonicEndMs: 2_000, wallEndMs: 2_000 };
const LEASE = { base: 2_048, order: 8, epoch: 7 };
const OTHER = { base: 4_096, order: 8, epoch: 8 };

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

/** Ports in another process: they follow and report when the test says so, else at once. */
class NotingPorts implements PortControl {
  onReport: ((report: PortReport) => void) | null = null;
  isApart = false;
  readonly commands: PortCommand[] = [];

  command(command: PortCommand): void {
    this.commands.push(command);
    if (!this.isApart) this.follow();
  }

  follow(): void {
    const { number, blocks } = this.commands.at(-1)!;
    const flows = blocks.map(({ lease: { epoch } }) => ({ epoch, count: 3 }));
    this.onReport!({ number, busiestCount: 9, flows, lingering: [] });
  }

  /** What each command said of the blocks: their epochs, those that drain negative. */
  get notes(): number[][] {
    return this.commands.map(({ blocks }) =>
      blocks.map(({ lease, isDraining }) => (isDraining ? -lease.epoch : lease.epoch)),
    );
  }
}

interface Wanted {
  readonly term?: LeaseTerm | null;
  readonly draining?: readonly number[];
}

function rig() {
  const { told, guard } = slowKernel();
  const ports = new NotingPorts();
  const faults: unknown[] = [];
  const reports: PortReport[] = [];
  const guarded = new GuardedPorts(IP, ports, guard, (fault) => faults.push(fault));
  guarded.onReport = (report) => reports.push(report);
  const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  let number = 0;
  const want = (leases: readonly (typeof LEASE)[], { term = TERM, draining = [] }: Wanted = {}): void => {
    number += 1;
    const blocks = leases.map((lease) => ({ lease, isDraining: draining.includes(lease.epoch) }));
    guarded.command({ number, term, blocks, isGrowing: false, pressureCount: 0 });
  };
  /** Once the kernel has said yes to all that it was told. */
  const confirmed = async (): Promise<void> => {
    for (const { answer } of told) answer();
    await settled();
  };
  return { told, ports, faults, reports, guarded, settled, want, confirmed, last: () => reports.at(-1)! };
}

test("[MA2] a block reaches the ports when the kernel has said yes, not before", async () => {
  const { told, ports, want, settled } = rig();
  want([]);
  told[0]!.answer();
  want([LEASE]);
  await settled();
  expect(ports.notes).toEqual([[], []]);
  expect(told[1]).toMatchObject({ blocks: [LEASE], term: TERM });
  told[1]!.answer();
  await settled();
  expect(ports.notes).toEqual([[], [], [7]]);
  expect(ports.commands.at(-1)).toMatchObject({ term: TERM, isGrowing: false, pressureCount: 0 });
});

test("[MA2] a block without a term waits for one", async () => {
  const { told, ports, want, settled } = rig();
  want([LEASE], { term: null });
  told[0]!.answer();
  await settled();
  expect(ports.notes).toEqual([[]]);
  want([LEASE]);
  told[1]!.answer();
  await settled();
  expect(ports.notes.at(-1)).toEqual([7]);
});

test("[MA2] what was given up while the kernel was being told is never used", async () => {
  const { told, ports, want, confirmed } = rig();
  want([LEASE]);
  want([]);
  await confirmed();
  expect(ports.notes.flat()).toEqual([]);
  expect(told.at(-1)!.blocks).toEqual([]);
});

test("[MA2] what was taken up again waits for a wish that was told since", async () => {
  const { told, ports, want, settled } = rig();
  want([LEASE]);
  want([]);
  want([LEASE]);
  told[0]!.answer();
  await settled();
  expect(ports.notes.flat()).toEqual([]);
  told[2]!.answer();
  await settled();
  expect(ports.notes.at(-1)).toEqual([7]);
});

test("[MA2] flows are reset before the kernel shuts their ports, so that the resets get out", async () => {
  const { told, ports, want, confirmed, settled, last } = rig();
  want([LEASE, OTHER]);
  await confirmed();
  ports.isApart = true;
  want([OTHER]);
  expect(ports.notes.at(-1)).toEqual([8]);
  // The ports have not followed yet, so the kernel keeps letting the block out.
  expect(told.at(-1)!.blocks).toEqual([OTHER, LEASE]);
  await confirmed();
  expect(last().number).toBe(1);
  ports.follow();
  expect(told.at(-1)!.blocks).toEqual([OTHER]);
  expect(last().lingering).toEqual([7]);
  told.at(-1)!.answer();
  await settled();
  expect(last().lingering).toEqual([]);
});

test("[LAW1] a block that is gone is not let out under a newer term, even if its ports have not followed", async () => {
  const { told, ports, want, confirmed } = rig();
  want([LEASE, OTHER]);
  await confirmed();
  ports.isApart = true;
  want([], { term: null });
  expect(told.at(-1)).toMatchObject({ blocks: [], term: null });
  want([OTHER], { term: NEXT_TERM });
  expect(told.at(-1)).toMatchObject({ blocks: [OTHER], term: NEXT_TERM });
});

test("[LAW1] a block that is gone is not let out where another one overlaps it", async () => {
  const { told, ports, want, confirmed } = rig();
  want([LEASE]);
  await confirmed();
  ports.isApart = true;
  const newer = { ...LEASE, epoch: 9 };
  want([newer]);
  expect(told.at(-1)!.blocks).toEqual([newer]);
});

test("[MA3] a block that was to be shut is not opened again by a report from before, or for another's sake", async () => {
  const { told, ports, want, confirmed, last } = rig();
  const third = { base: 8_192, order: 8, epoch: 3 };
  want([LEASE, OTHER]);
  await confirmed();
  want([OTHER]);
  expect(told.at(-1)!.blocks).toEqual([OTHER]);
  // Ports that began anew know of nothing yet.
  ports.onReport!({ number: 0, busiestCount: 0, flows: [], lingering: [] });
  ports.isApart = true;
  want([OTHER, third]);
  expect(told.at(-1)!.blocks).toEqual([OTHER, third]);
  const overlapping = { ...OTHER, epoch: 9 };
  want([overlapping, third]);
  want([third]);
  expect(told.at(-1)!.blocks).toEqual([third]);
  ports.follow();
  await confirmed();
  expect(last().lingering).toEqual([]);
});

test("[LK13] a report that was overtaken by a newer one is not passed on", async () => {
  const { ports, reports, want, confirmed } = rig();
  want([LEASE]);
  await confirmed();
  const { number } = ports.commands.at(-1)!;
  want([LEASE], { draining: [7] });
  const count = reports.length;
  ports.onReport!({ number, busiestCount: 0, flows: [], lingering: [] });
  expect(reports).toHaveLength(count);
  expect(reports.at(-1)).toMatchObject({ number: 2, flows: [{ epoch: 7, count: 3 }] });
});

test("[LK8] flows wait while the kernel has to let out a block that they may use, not when it has failed", async () => {
  const { told, ports, want, settled } = rig();
  const growing = (): boolean => ports.commands.at(-1)!.isGrowing;
  want([LEASE], { draining: [7] });
  expect(growing()).toBe(false);
  want([LEASE, OTHER], { draining: [7] });
  expect(growing()).toBe(true);
  told.at(-1)!.answer(new Error("no"));
  await settled();
  expect(growing()).toBe(false);
  // The guard is not told of a drain, so it opens nothing for it.
  want([LEASE, OTHER]);
  expect(growing()).toBe(false);
  want([LEASE, OTHER], { term: TERM, draining: [7] });
  want([LEASE, OTHER], { term: { ...NEXT_TERM, wallEndMs: 1_500 }, draining: [7] });
  const overtaken = told.at(-1)!;
  want([LEASE, OTHER], { term: NEXT_TERM, draining: [7] });
  overtaken.answer(new Error("no"));
  await settled();
  expect(growing()).toBe(true);
  for (const { answer } of told) answer();
  await settled();
  expect([growing(), ports.notes.at(-1)]).toEqual([false, [-7, 8]]);
});

test("[MA2] a kernel that fails keeps new blocks unused until a renewal gets through", async () => {
  const { told, ports, faults, want, settled } = rig();
  want([LEASE]);
  told[0]!.answer(new Error("no"));
  await settled();
  expect(faults).toHaveLength(1);
  expect(ports.notes.flat()).toEqual([]);
  want([LEASE], { term: NEXT_TERM });
  told[1]!.answer();
  await settled();
  expect(ports.notes.at(-1)).toEqual([7]);
});

test("[LK13] the keeper is told of a command once the ports have followed it, with what they report", async () => {
  const { ports, want, confirmed, last, guarded } = rig();
  want([LEASE]);
  await confirmed();
  expect(last()).toEqual({ number: 1, busiestCount: 9, flows: [{ epoch: 7, count: 3 }], lingering: [] });
  ports.isApart = true;
  want([LEASE], { draining: [7] });
  guarded.command({ number: 2, term: TERM, blocks: [], isGrowing: false, pressureCount: 0 });
  expect(ports.notes.slice(-2)).toEqual([[-7], [-7]]);
  expect(last().number).toBe(1);
  // Of what they had before: it says nothing of the drain.
  ports.onReport!({ number: 2, busiestCount: 9, flows: [], lingering: [] });
  expect(last()).toMatchObject({ number: 1, flows: [] });
  ports.follow();
  expect(last().number).toBe(2);
});

test("[LK13] a command counts as followed though the kernel has opened more since", async () => {
  const { ports, want, confirmed, last } = rig();
  ports.isApart = true;
  want([LEASE]);
  await confirmed();
  expect(ports.notes).toEqual([[], [7]]);
  ports.onReport!({ number: 1, busiestCount: 0, flows: [], lingering: [] });
  expect(last().number).toBe(1);
});

test("[MA2] the guard is told once of each change, whatever the ports report", async () => {
  const { told, ports, want, confirmed, last } = rig();
  want([LEASE, OTHER]);
  await confirmed();
  ports.isApart = true;
  want([OTHER]);
  const { number } = ports.commands.at(-1)!;
  for (const heard of [number - 1, number - 1]) {
    ports.onReport!({ number: heard, busiestCount: 0, flows: [], lingering: [] });
  }
  expect(told).toHaveLength(2);
  for (let time = 0; time < 3; time += 1) ports.follow();
  expect(told).toHaveLength(3);
  want([OTHER, LEASE]);
  expect(told).toHaveLength(4);
  ports.follow();
  expect(last().lingering).toEqual([]);
});

test("[MA3] a removed block lingers until the kernel has said so, and then whoever waits is told", async () => {
  const { told, reports, want, settled, confirmed, last } = rig();
  want([LEASE]);
  await confirmed();
  want([]);
  expect(last().lingering).toEqual([7]);
  told.at(-1)!.answer(new Error("the kernel does not listen"));
  await settled();
  expect(last().lingering).toEqual([7]);
  // The next renewal tries again.
  want([], { term: NEXT_TERM });
  expect(told.at(-1)).toMatchObject({ blocks: [] });
  const count = reports.length;
  told.at(-1)!.answer();
  await settled();
  expect(reports.slice(count)).toMatchObject([{ lingering: [] }]);
});

test("[MA3] a block that was removed before the kernel knew of it still waits for its word", async () => {
  const { want, confirmed, last } = rig();
  want([LEASE]);
  want([]);
  expect(last().lingering).toEqual([7]);
  await confirmed();
  expect(last().lingering).toEqual([]);
});

test("[MA3] a block that came back and went again waits for the word on its last removal", async () => {
  const { told, want, settled, confirmed, last } = rig();
  want([LEASE]);
  await confirmed();
  want([]);
  const firstRemoval = told.at(-1)!;
  want([LEASE]);
  const again = told.at(-1)!;
  want([]);
  const lastRemoval = told.at(-1)!;
  firstRemoval.answer();
  await settled();
  expect(last().lingering).toEqual([7]);
  again.answer();
  await settled();
  expect(last().lingering).toEqual([7]);
  lastRemoval.answer();
  await settled();
  expect(last().lingering).toEqual([]);
});

test("[LK11] a block that drains and is taken up again needs no word of the kernel, a new one does", async () => {
  const { told, ports, want, settled } = rig();
  want([LEASE], { draining: [7] });
  want([LEASE]);
  expect(ports.notes.flat()).toEqual([]);
  told[0]!.answer();
  await settled();
  want([LEASE], { draining: [7] });
  want([LEASE]);
  expect(ports.notes.slice(-3)).toEqual([[7], [-7], [7]]);
  expect(told).toHaveLength(1);
});

test("[MA2] [SM3] what the kernel could not be told of a slot is tried again by itself, since nothing is renewed", async () => {
  const { told, ports, want, guarded, settled } = rig();
  want([LEASE], { term: ENDLESS_TERM });
  told[0]!.answer(new Error("the kernel does not listen"));
  await settled();
  const ask = (): void =>
    guarded.command({ number: 1, term: ENDLESS_TERM, blocks: [], isGrowing: false, pressureCount: 0 });
  for (let time = 0; time < 4; time += 1) ask();
  expect(told).toHaveLength(1);
  ask();
  expect(told).toHaveLength(2);
  told[1]!.answer(new Error("nor does it now"));
  await settled();
  for (let time = 0; time < 5; time += 1) ask();
  expect(told[2]).toMatchObject({ blocks: [LEASE], term: ENDLESS_TERM });
  told[2]!.answer();
  await settled();
  expect(ports.notes.at(-1)).toEqual([7]);
  for (let time = 0; time < 9; time += 1) ask();
  expect(told).toHaveLength(3);
});

test("[MA2] under a term that ends nothing is tried before it is renewed", async () => {
  const { told, want, guarded, settled } = rig();
  want([LEASE]);
  told[0]!.answer(new Error("the kernel does not listen"));
  await settled();
  for (let time = 0; time < 9; time += 1) {
    guarded.command({ number: 1, term: TERM, blocks: [], isGrowing: false, pressureCount: 0 });
  }
  expect(told).toHaveLength(1);
});

/** What the Worker of a run is blamed for, and what not. */
import { expect, onTestFinished, test } from "vitest";
import { Chance } from "./chance.ts";
import { Edge, POOL } from "./edge.ts";
import type { Violation } from "./law-checks.ts";
import { FAIR_WEATHER, Network } from "./network.ts";
import { callObject } from "./object-calls.ts";
import { Settling } from "./settling.ts";
import { Timeline } from "./timeline.ts";
import { SimulatedWorker } from "./worker.ts";

/** A pool without addresses, and a Worker that has no copy of it. */
async function newWorker() {
  const timeline = new Timeline();
  const chance = new Chance(1);
  const network = new Network(timeline, chance, FAIR_WEATHER);
  const edge = new Edge(network, chance, [], { lagged() {}, applied() {}, written() {} });
  onTestFinished(() => edge.close());
  const violations: Violation[] = [];
  const watch = { count() {}, violated: (violation: Violation) => violations.push(violation) };
  const worker = new SimulatedWorker(edge, network, chance, [], watch);
  const settling = new Settling();
  const settle = async (): Promise<void> => {
    await settling.wait();
    edge.endTurns();
    await settling.wait();
  };
  const pass = async (ms: number): Promise<void> => {
    const endMs = timeline.nowMs + ms;
    timeline.at(endMs, () => {});
    while (timeline.nowMs < endMs && timeline.step()) await settle();
  };
  const configured = callObject(null, edge.pool, network, (pool) => pool.configure({}));
  await pass(100);
  await configured;
  const there = network.way("outside", `pool ${POOL}`);
  const back = network.way(`pool ${POOL}`, "outside");
  return { edge, worker, violations, pass, settle, there, back };
}

test("[LAW8] no copy could serve a request that failed before the first answer came, be it in one moment", async () => {
  const { edge, worker, violations, pass, settle, there, back } = await newWorker();
  back.cut();
  const answered = worker.placement();
  await pass(100);
  there.cut();
  const failed = worker.placement();
  await pass(100);
  // Its next instance cannot even begin.
  edge.pool.crash();
  edge.pool.troubles.isDiskFull = true;
  there.heal();
  back.heal();
  await settle();
  expect(await failed).toBeNull();
  expect(await answered).toMatchObject({ ips: [] });
  expect(violations).toEqual([]);
});

test("[LAW8] a copy serves though its pool fails", async () => {
  const { edge, worker, violations, pass } = await newWorker();
  const first = worker.placement();
  await pass(100);
  expect(await first).toMatchObject({ ips: [] });
  edge.pool.crash();
  edge.pool.troubles.isDiskFull = true;
  await pass(60_000);
  const later = worker.placement();
  await pass(100);
  expect(await later).toMatchObject({ ips: [] });
  expect(violations).toEqual([]);
});

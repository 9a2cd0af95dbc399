/**
 * Everything is restarted, one part after the other, as at an upgrade. The client is the plain
 * one that everybody has: it asks the edge, and retries an idempotent request once.
 */
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { Deployment, SHARED } from "./deployment.ts";
import { hostsOf, routersOf } from "./plan.ts";
import type { WebRequest } from "./web-client.ts";

const SIZE = { hosts: 3, routers: 2 };
const HOSTS = hostsOf(SIZE);
const LANES = 12;
/** Longer than the edge is away. */
const RETRY_AFTER_MS = 5_000;

let deployment: Deployment;

beforeAll(async () => {
  deployment = await Deployment.start({
    ...SIZE,
    settings: { leaseDurationMs: 10_000, quarantineMs: 3_000 },
  });
});

beforeEach(() => deployment.tellIfTestFails());

afterAll(() => deployment?.destroy());

test("[LAW7] [WK11] [LK9] [RT5] a client that retries once sees no failure while everything is restarted in turn", async () => {
  const load = await deployment.newClient();
  const requests: WebRequest[] = [];
  for (const path of ["/seen", "/stream?ticks=10&everyMs=50"]) {
    for (const from of SHARED) {
      requests.push({ ...(await deployment.to(path, { from })), retryAfterMs: RETRY_AFTER_MS });
    }
  }
  await load.load(LANES, requests);
  await load.progresses(100);

  await deployment.end("edge", "SIGTERM");
  await deployment.startEdge();
  await deployment.untilSteering(routersOf(SIZE));
  await deployment.untilServing(HOSTS);
  await load.progresses(100);
  const edgeIsBackAtMs = Date.now();
  for (const router of routersOf(SIZE)) {
    await deployment.end(router, "SIGTERM");
    await deployment.startRouter(router);
    await deployment.untilSteering([router]);
    await load.progresses(100);
  }
  for (const host of HOSTS) {
    await deployment.end(host, "SIGTERM");
    await deployment.startHost(host);
    await deployment.untilServing(HOSTS);
    await load.progresses(100);
  }
  const samples = await load.stop();

  expect(samples.filter(({ isRight }) => !isRight)).toEqual([]);
  // Whoever asks the edge itself has nobody else to ask; behind it nothing needs a second try.
  const retried = samples.filter(
    ({ startedAtMs, retriedFor }) => retriedFor !== undefined && startedAtMs > edgeIsBackAtMs,
  );
  expect(retried).toEqual([]);
  expect(new Set(samples.map(({ host }) => host))).toEqual(new Set(HOSTS));
});

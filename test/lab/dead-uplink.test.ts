/** A host that is cut off from the Internet and not from the edge; and a destination that is down. */
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { Deployment, POOL, SHARED } from "./deployment.ts";
import { until } from "./until.ts";

const HOSTS = ["h1", "h2", "h3"] as const;
/** As long as a Worker's copy of the placement is fresh, and a little. */
const COPY_MS = 4_000;
/** Until a host knows, the others were asked, and the pool has judged. */
const NOTICE_MS = 8_000;

let deployment: Deployment;

beforeAll(async () => {
  deployment = await Deployment.start({ agentArgs: ["--connect-timeout=4000"] });
});

beforeEach(() => deployment.tellIfTestFails());

afterAll(() => deployment?.destroy());

async function uplinks(): Promise<Record<string, string>> {
  const { hosts } = await deployment.api.listHosts({ pool: POOL });
  return Object.fromEntries(hosts.map(({ host, uplink }) => [host, uplink]));
}

async function load(): Promise<void> {
  await deployment.client.load(8, await Promise.all(SHARED.map((from) => deployment.to("/seen", { from }))));
  await deployment.client.progresses(200);
}

test("[UP1] [UP3] [UP4] a host without a way out gets no requests within seconds, and is back when it has one", async () => {
  const { lab, client } = deployment;
  await load();
  const cutAtMs = Date.now();
  await lab.cut("h1", "lan");
  await until(async () => (await uplinks())["h1"] === "dead");
  const ejectedAtMs = Date.now();
  await client.progresses(400);
  await lab.heal("h1", "lan");
  await until(async () => (await uplinks())["h1"] === "good");
  await deployment.untilServing(HOSTS);
  const backAtMs = Date.now();
  await client.progresses(600);
  const samples = await client.stop();

  expect(ejectedAtMs - cutAtMs).toBeLessThan(NOTICE_MS);
  const failed = samples.filter(({ isRight }) => !isRight);
  expect(failed.filter(({ startedAtMs }) => startedAtMs < cutAtMs - 1_000)).toEqual([]);
  expect(failed.filter(({ startedAtMs }) => startedAtMs > ejectedAtMs + COPY_MS)).toEqual([]);
  expect(samples.some(({ host, startedAtMs }) => host === "h1" && startedAtMs > backAtMs)).toBe(true);
});

test("[UP1] it is found out too when every request waits on a connection that stood before", async () => {
  const { lab, client } = deployment;
  const many = await deployment.newClient();
  await many.load(48, await Promise.all(SHARED.map((from) => deployment.to("/seen", { from }))));
  await many.progresses(500);
  // Now each host has more idle connections than these requests need, so that none is dialled.
  await load();
  await many.stop();
  const cutAtMs = Date.now();
  await lab.cut("h1", "lan");
  await until(async () => (await uplinks())["h1"] === "dead");
  expect(Date.now() - cutAtMs).toBeLessThan(NOTICE_MS);
  await lab.heal("h1", "lan");
  await until(async () => (await uplinks())["h1"] === "good");
  await deployment.untilServing(HOSTS);
  await client.progresses(400);
  await client.stop();
});

test("[UP3] a destination that is down ejects nobody, however often it is asked for", async () => {
  const { client } = deployment;
  const request = await deployment.to("/seen");
  const nowhere = { ...request, url: request.url.replace(/198\.51\.100\.\d+/, "198.51.100.199") };
  expect(nowhere.url).not.toBe(request.url);
  // Each of them waits for as long as a connection may take.
  await client.load(60, [nowhere]);
  await client.progresses(120);
  const seen = await uplinks();
  await client.stop();
  expect(Object.values(seen)).not.toContain("dead");
});

test("[UP3] when nobody has a way out nobody is left out, and all serve as soon as there is one", async () => {
  const { lab, client } = deployment;
  await load();
  for (const host of HOSTS) await lab.cut(host, "lan");
  // What was under way waits on its connections; these need connections of their own.
  const more = await deployment.newClient();
  await more.load(24, await Promise.all(SHARED.map((from) => deployment.to("/seen", { from }))));
  await until(async () => Object.values(await uplinks()).every((state) => state === "suspect"));
  await deployment.untilServing(HOSTS);
  for (const host of HOSTS) await lab.heal(host, "lan");
  await until(async () => Object.values(await uplinks()).every((state) => state === "good"));
  const healedAtMs = Date.now();
  // However fast requests are: some are to begin after that.
  await until(() => Date.now() > healedAtMs + COPY_MS);
  await client.progresses(300);
  await more.stop();
  const late = (await client.stop()).filter(({ startedAtMs }) => startedAtMs > healedAtMs + COPY_MS);
  expect(late.length).toBeGreaterThan(0);
  expect(late.filter(({ isRight }) => !isRight)).toEqual([]);
});

test("[UP8] a link that is down shows without any request", async () => {
  const { lab } = deployment;
  await lab.exec("h2", ["ip", "link", "set", "dev", "lan0", "down"]);
  await until(async () => (await uplinks())["h2"] === "dead");
  expect(await uplinks()).toEqual({ h1: "good", h2: "dead", h3: "good" });
});

/** What the edge counts of itself, and what it tells of its objects. */
import { expect, it, vi } from "vitest";
import { handedOverOf } from "../../src/worker/runtime/control-plane.ts";
import type { Environment } from "../../src/worker/runtime/environment.ts";
import { administer, ask, codeOf, environment, freshNames, tokenFor } from "./edge.ts";

const METRICS_TOKEN = "made-by-an-operator";

function scrape(path: string, token: string, env: Environment): Promise<Response> {
  return ask(path, { headers: { authorization: `Bearer ${token}` } }, env);
}

async function pools(...names: readonly string[]): Promise<void> {
  for (const pool of names) await administer("PUT", `/v1/pools/${pool}`, {});
}

it("[MT8] an administrator learns of the pools that the token is good for, a scraper of all", async () => {
  const [{ pool: own }, { pool: foreign }] = [freshNames(), freshNames()];
  await pools(own, foreign);
  await administer("PUT", `/v1/pools/${own}/ips/198.51.100.240`, {});
  const env = { ...environment, METRICS_TOKEN };
  const token = await tokenFor({ role: "admin", pools: [own] });
  const told = await (await scrape("/metrics", token, env)).text();
  expect(told).toContain(`ipshard_edge_pool_hosts{pool="${own}",state="live"} 0\n`);
  expect(told).toContain(`ipshard_edge_address_leased_ports{pool="${own}",ip="198.51.100.240"} 0\n`);
  expect(told).toContain(`ipshard_edge_address_free_ports{pool="${own}",ip="198.51.100.240"} 64512\n`);
  expect(told).not.toContain(foreign);
  const all = await (await scrape("/metrics", METRICS_TOKEN, env)).text();
  expect(all).toContain(`pool="${own}"`);
  expect(all).toContain(`pool="${foreign}"`);
  const one = await (await scrape(`/metrics?pool=${foreign}`, METRICS_TOKEN, env)).text();
  expect(one).not.toContain(`pool="${own}"`);
  expect(await codeOf(await scrape(`/metrics?pool=${foreign}`, token, env))).toMatchObject({
    code: "pool-unknown",
  });
});

it("[MT8] nobody else learns anything, and where there is no metrics token none is good", async () => {
  for (const role of ["client", "host", "router"] as const) {
    const answer = await scrape("/metrics", await tokenFor({ role }), environment);
    expect(await codeOf(answer)).toEqual({ status: 403, code: "role-denied" });
  }
  expect(await codeOf(await ask("/metrics"))).toEqual({ status: 401, code: "token-missing" });
  const empty = { ...environment, METRICS_TOKEN: "" };
  expect((await scrape("/metrics", METRICS_TOKEN, empty)).status).toBe(401);
  expect((await scrape("/metrics", METRICS_TOKEN, environment)).status).toBe(401);
});

it("[MT8] what one of many isolates counted is not told", async () => {
  const alone = { ...environment, METRICS_TOKEN, SELF_HOSTED: "1" };
  const among = { ...environment, METRICS_TOKEN };
  expect(await (await scrape("/metrics", METRICS_TOKEN, alone)).text()).toContain(
    "ipshard_edge_requests_total ",
  );
  expect(await (await scrape("/metrics", METRICS_TOKEN, among)).text()).not.toContain("_total");
});

it("[OV9] what was given to hosts is told of the pools that the token is good for, and whether that is all", async () => {
  const [{ pool: own }, { pool: foreign }] = [freshNames(), freshNames()];
  handedOverOf.set(own, 3).set(foreign, 5);
  const token = await tokenFor({ role: "admin", pools: [own] });
  const told = async (env: Environment): Promise<unknown> => (await scrape("/v1/edge", token, env)).json();
  expect(await told(environment)).toMatchObject({ handedOverOf: { [own]: 3 }, isWhole: false });
  expect(JSON.stringify(await told(environment))).not.toContain(foreign);
  expect(await told({ ...environment, SELF_HOSTED: "1" })).toMatchObject({ isWhole: true });
});

it("[MT15] how long an answer took to begin is noted once, by who gave it", async () => {
  const env = { ...environment, METRICS_TOKEN, SELF_HOSTED: "1" };
  const counts = async (): Promise<readonly number[]> => {
    const told = await (await scrape("/metrics", METRICS_TOKEN, env)).text();
    return ["host", "edge"].map((answerer) => {
      const name = `ipshard_edge_first_byte_seconds_count{answerer="${answerer}"} `;
      return Number(told.split(name)[1]!.split("\n")[0]);
    });
  };
  const [ofHosts, ofEdge] = await counts();
  expect((await ask("/v1/fetch?url=http://example.com/", {}, env)).status).toBe(401);
  await ask("/health", {}, env);
  expect(await counts()).toEqual([ofHosts, ofEdge! + 1]);
});

it("[MT8] an object that does not answer is counted, and the others are told all the same", async () => {
  const { pool } = freshNames();
  await pools(pool);
  await administer("PUT", `/v1/pools/${pool}/ips/198.51.100.241`, {});
  vi.spyOn(console, "warn").mockImplementation(() => {});
  const env = {
    ...environment,
    METRICS_TOKEN,
    EGRESS_IP: {
      getByName: () => ({ counts: () => Promise.reject(new Error("too busy")) }),
    } as unknown as Environment["EGRESS_IP"],
  };
  const told = await (await scrape(`/metrics?pool=${pool}`, METRICS_TOKEN, env)).text();
  expect(told).toContain("ipshard_edge_silent_objects 1\n");
  expect(told).toContain(`ipshard_edge_pool_hosts{pool="${pool}",state="live"} 0\n`);
});

it("[MT10] a point is written for each request to the egress API, with its refusal", async () => {
  const writeDataPoint = vi.fn<AnalyticsEngineDataset["writeDataPoint"]>();
  const env: Environment = { ...environment, ANALYTICS: { writeDataPoint } };
  const refused = await ask("/v1/fetch?url=http://example.com/", {}, env);
  expect(refused.status).toBe(401);
  await ask("/health", {}, env);
  expect(writeDataPoint).toHaveBeenCalledExactlyOnceWith({
    indexes: ["edge"],
    blobs: ["token-missing", "", ""],
    doubles: [1, 401, expect.any(Number)],
  });
});

it("[MT12] the edge writes a line for each refusal, or for each answer, or none", async () => {
  const logged = vi.spyOn(console, "log").mockImplementation(() => {});
  const refuse = async (LOG_DECISIONS?: string): Promise<number> => {
    logged.mockClear();
    const env = LOG_DECISIONS === undefined ? environment : { ...environment, LOG_DECISIONS };
    const { headers } = await ask("/v1/fetch?url=http://example.com/", {}, env);
    for (const [line] of logged.mock.calls) {
      expect(JSON.parse(line as string)).toEqual({
        level: 30,
        time: expect.any(Number),
        msg: "a flow was refused",
        decision: "refused",
        requestId: headers.get("egress-request-id"),
        status: 401,
        code: "token-missing",
        tookMs: expect.any(Number),
      });
    }
    return logged.mock.calls.length;
  };
  expect([await refuse(), await refuse("none"), await refuse("refused"), await refuse("all")]).toEqual([
    0, 0, 1, 1,
  ]);
});

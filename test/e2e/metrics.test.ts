/** Agents and the edge as Prometheus sees them: what has passed is counted, once, whichever process it was in. */
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { get, type IncomingMessage } from "node:http";
import { text as readText } from "node:stream/consumers";
import { readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { PastCounts } from "../../src/core/live-view.ts";
import { parsePastCounts } from "../../src/wire/live-view-schema.ts";
import { METRICS } from "../../src/metrics/catalogue.ts";
import { Cluster, EGRESS_IP, freePort, POOL, until } from "./cluster.ts";
import { namesIn, readScrape, type Scraped, sumOf } from "./scraped.ts";

const TOKEN = "an-operator-has-made-this-up";
const REQUESTS = 12;

let cluster: Cluster;
let places: Record<string, number>;

beforeAll(async () => {
  places = { h1: await freePort(), h2: await freePort() };
  cluster = await Cluster.start({ hosts: [], edgeArgs: ["--log-decisions=all"] });
  const tokenFile = join(cluster.directory, "scrape-token");
  await writeFile(tokenFile, `${TOKEN}\n`);
  await cluster.startHost("h1", [
    "--allow=127.0.0.0/30",
    `--metrics=127.0.0.1:${places["h1"]}`,
    "--log-decisions=all",
  ]);
  await cluster.startHost("h2", [
    "--processes=2",
    `--metrics=127.0.0.1:${places["h2"]}`,
    `--metrics-token-file=${tokenFile}`,
  ]);
  await cluster.untilServing(["h1", "h2"]);
}, 60_000);
afterAll(() => cluster?.stop());

async function scrape(host: "h1" | "h2"): Promise<string> {
  const headers: Record<string, string> = host === "h1" ? {} : { authorization: `Bearer ${TOKEN}` };
  const answer = await fetch(`http://127.0.0.1:${places[host]}/metrics`, { headers });
  expect(answer.status).toBe(200);
  expect(answer.headers.get("content-type")).toBe("text/plain; version=0.0.4; charset=utf-8");
  return answer.text();
}

async function counted(host: "h1" | "h2"): Promise<Scraped> {
  return readScrape(await scrape(host));
}

/** What a client shows to a gateway itself. */
async function gatewayHeaders(): Promise<Record<string, string>> {
  const { token } = await cluster.apiAs("client", "tester").makeGatewayToken();
  return { "egress-authorization": `Bearer ${token}` };
}

/** Requests on connections of their own, which the kernel shares out among processes. */
async function request(host: string, path: string): Promise<number> {
  const headers = { ...(await gatewayHeaders()), connection: "close" };
  const answer = await fetch(cluster.through(cluster.originUrl(path), cluster.gatewayOf(host)), { headers });
  await answer.arrayBuffer();
  return answer.status;
}

function check(text: string): string {
  const { status, stdout, stderr } = spawnSync("promtool", ["check", "metrics"], {
    input: text,
    encoding: "utf8",
  });
  expect(status, stdout + stderr).toBe(0);
  return stdout + stderr;
}

test.each(["h1", "h2"] as const)(
  "[MT4] [MT6] of %s, flows, refusals and times are counted as often as they were",
  async (host) => {
    const before = await counted(host);
    for (let count = 0; count < REQUESTS; count += 1) expect(await request(host, "/seen")).toBe(200);
    const refused = await fetch(cluster.through("http://10.0.0.1/", cluster.gatewayOf(host)), {
      headers: await gatewayHeaders(),
    });
    expect(refused.status).toBe(403);
    const after = await counted(host);
    const more = (series: string): number => (after.get(series) ?? 0) - (before.get(series) ?? 0);
    expect(more('ipshard_agent_flows_total{kind="request"}')).toBe(REQUESTS + 1);
    expect(more('ipshard_agent_refusals_total{code="destination-prohibited"}')).toBe(1);
    expect(more("ipshard_agent_first_byte_seconds_count")).toBe(REQUESTS);
    const dials = (result: string): number => more(`ipshard_agent_dial_seconds_count{result="${result}"}`);
    expect(dials("connected")).toBeGreaterThan(0);
    expect(dials("failed")).toBe(1);
    expect(after.get("ipshard_agent_data_processes")).toBe(host === "h1" ? 1 : 2);
    expect(after.get("ipshard_process_resident_bytes")).toBeGreaterThan(10_000_000);
  },
);

test.each(["h1", "h2"] as const)("[MT5] of %s, its ports and its leases are told", async (host) => {
  const told = await counted(host);
  const of = (name: string, more = ""): number | undefined =>
    told.get(`ipshard_agent_${name}{ip="${EGRESS_IP}"${more}}`);
  const blocks = await cluster.blocksOf(host);
  const held = blocks.reduce((sum, { order }) => sum + 2 ** order, 0);
  const [address] = (await cluster.status(host)).addresses;
  expect(of("usable_ports")).toBe(address!.portCount);
  expect(of("attainable_ports")).toBeGreaterThanOrEqual(held);
  expect(of("leases")).toBe(address!.blocks.length);
  expect(of("room_ports")).toBeGreaterThan(0);
  expect(of("lease_time_seconds")).toBe(600);
  expect(of("lease_age_seconds")).toBeGreaterThan(0);
  expect(of("lease_age_seconds")).toBeLessThan(600);
  expect(of("lease_answers_total", ',request="join"')).toBe(1);
  expect(of("lease_losses_total", ',reason="lost"')).toBe(0);
  expect(told.get("ipshard_agent_pool_connected")).toBe(1);
});

test("[MT4] when a data process has ended, nothing that it counted is lost", async () => {
  const before = sumOf(await counted("h2"), "ipshard_agent_first_byte_seconds_count");
  expect(before).toBeGreaterThanOrEqual(REQUESTS);
  const children = `/proc/${cluster.pidOf("h2")}/task/${cluster.pidOf("h2")}/children`;
  for (const pid of (await readFile(children, "utf8")).trim().split(" "))
    process.kill(Number(pid), "SIGKILL");
  await until("both are replaced", async () => {
    return (await counted("h2")).get("ipshard_agent_data_processes") === 2;
  });
  expect(sumOf(await counted("h2"), "ipshard_agent_first_byte_seconds_count")).toBe(before);
  await until("h2 serves", async () => (await request("h2", "/seen")) === 200);
  expect(sumOf(await counted("h2"), "ipshard_agent_first_byte_seconds_count")).toBe(before + 1);
});

test("[MT2] [MT1] promtool finds no fault with what is told, and all of it is in the catalogue", async () => {
  for (const host of ["h1", "h2"] as const) {
    const text = await scrape(host);
    check(text);
    for (const name of namesIn(text)) expect(METRICS).toHaveProperty(name);
  }
});

test("[MT11] the rules are what promtool calls good, and each alert fires in its case and no sooner", () => {
  const cwd = join(import.meta.dirname, "../../ops/prometheus");
  for (const args of [
    ["check", "rules", "ipshard.rules.yml"],
    ["test", "rules", "ipshard.rules.test.yml"],
  ]) {
    const { status, stdout, stderr } = spawnSync("promtool", args, { cwd, encoding: "utf8" });
    expect(status, stdout + stderr).toBe(0);
  }
  const alerts = (file: string): Set<string> =>
    new Set(readFileSync(join(cwd, file), "utf8").match(/\bIpshard[A-Z]\w+/g));
  expect(alerts("ipshard.rules.test.yml")).toEqual(alerts("ipshard.rules.yml"));
});

test("[MT3] a stranger reads nothing: not without the token, not by another name, nothing but the metrics", async () => {
  const ask = async (host: string, headers: Record<string, string>, path = "/metrics"): Promise<unknown> => {
    const options = { host: "127.0.0.1", port: places[host], path, headers, agent: false } as const;
    const [answer] = (await once(get(options), "response")) as [IncomingMessage];
    const { code } = JSON.parse(await readText(answer)) as { code: unknown };
    return [answer.statusCode, code];
  };
  expect(await ask("h2", {})).toEqual([401, "token-missing"]);
  expect(await ask("h2", { authorization: `Bearer ${TOKEN}x` })).toEqual([401, "token-malformed"]);
  expect(await ask("h1", { host: "rebound.example:9464" })).toEqual([404, "route-unknown"]);
  expect(await ask("h1", {}, "/v1/status")).toEqual([404, "route-unknown"]);
});

test("[MT3] [DE14] no client reaches them through the host itself, whatever it may reach", async () => {
  const url = cluster.through(`http://127.0.0.1:${places["h1"]}/metrics`, cluster.gatewayOf("h1"));
  const answer = await fetch(url, { headers: await gatewayHeaders() });
  expect([answer.status, ((await answer.json()) as { code: string }).code]).toEqual([
    403,
    "destination-prohibited",
  ]);
});

test("[MT8] the edge tells what its objects say, to who shows its token, and to nobody else", async () => {
  const file = join(cluster.directory, "tokens", "metrics");
  expect((await stat(file)).mode & 0o777).toBe(0o600);
  const token = (await readFile(file, "utf8")).trim();
  const url = `${cluster.edgeUrl}/metrics`;
  const answer = await fetch(url, { headers: { authorization: `Bearer ${token}` } });
  expect(answer.status).toBe(200);
  const text = await answer.text();
  check(text);
  for (const name of namesIn(text)) expect(METRICS).toHaveProperty(name);
  const told = readScrape(text);
  expect(told.get(`ipshard_edge_pool_hosts{pool="${POOL}",state="live"}`)).toBe(2);
  const { freePortCount } = await cluster.table();
  expect(told.get(`ipshard_edge_address_free_ports{pool="${POOL}",ip="${EGRESS_IP}"}`)).toBe(freePortCount);
  expect(told.get(`ipshard_edge_address_hosts{pool="${POOL}",ip="${EGRESS_IP}"}`)).toBe(2);
  expect(told.get("ipshard_edge_silent_objects")).toBe(0);
  const others: Record<string, string>[] = [
    {},
    { authorization: `Bearer ${token}0` },
    await cluster.clientHeaders(),
  ];
  for (const headers of others) {
    expect((await fetch(url, { headers })).status).toBeGreaterThanOrEqual(401);
  }
});

test("[MT8] what the edge passes on, tries again and refuses is counted", async () => {
  const token = (await readFile(join(cluster.directory, "tokens", "metrics"), "utf8")).trim();
  const read = async (): Promise<Scraped> =>
    readScrape(
      await (
        await fetch(`${cluster.edgeUrl}/metrics`, { headers: { authorization: `Bearer ${token}` } })
      ).text(),
    );
  const before = await read();
  const headers = await cluster.clientHeaders();
  await (await fetch(cluster.through(cluster.originUrl("/seen")), { headers })).arrayBuffer();
  await (
    await fetch(cluster.through(cluster.originUrl("/seen")), { headers: { ...headers, egress: "pool=none" } })
  ).text();
  const after = await read();
  const more = (series: string): number => (after.get(series) ?? 0) - (before.get(series) ?? 0);
  expect(more("ipshard_edge_requests_total")).toBe(1);
  expect(more('ipshard_edge_refusals_total{code="pool-denied"}')).toBe(1);
  const timed = (answerer: string): number =>
    more(`ipshard_edge_first_byte_seconds_count{answerer="${answerer}"}`);
  expect([timed("host"), timed("edge")]).toEqual([1, 1]);
  expect(more("ipshard_edge_object_calls_total")).toBeGreaterThan(0);
});

test("[MT9] the name of a request is the edge's: the host says it again, and a refusal has one too", async () => {
  const headers = { ...(await cluster.clientHeaders()), "egress-request-id": "of-the-client" };
  const answer = await fetch(cluster.through(cluster.originUrl("/seen")), { headers });
  const name = answer.headers.get("egress-request-id");
  expect(name).toMatch(/^[0-9a-f-]{36}$/);
  const got = await answer.text();
  expect(got).toContain("headers");
  expect(got).not.toContain("request-id");
  const again = await fetch(cluster.through(cluster.originUrl("/seen")), { headers });
  expect(again.headers.get("egress-request-id")).not.toBe(name);
  for (const [url, status] of [
    [cluster.through("http://10.0.0.1/"), 403],
    [`${cluster.edgeUrl}/v1/fetch`, 400],
    [cluster.through(cluster.originUrl("/")), 401],
  ] as const) {
    const refused = await fetch(url, { headers: status === 401 ? {} : headers });
    expect(refused.status).toBe(status);
    expect(refused.headers.get("egress-request-id")).toMatch(/^[0-9a-f-]{36}$/);
  }
});

test("[MT9] a host that is asked itself takes a proper name over, and makes one where there is none", async () => {
  const ask = async (name?: string): Promise<string | null> => {
    const headers = {
      ...(await gatewayHeaders()),
      ...(name === undefined ? {} : { "egress-request-id": name }),
    };
    const url = cluster.through(cluster.originUrl("/seen"), cluster.gatewayOf("h1"));
    return (await fetch(url, { headers })).headers.get("egress-request-id");
  };
  expect(await ask("my-own-name-1")).toBe("my-own-name-1");
  expect(await ask('no "name"')).toMatch(/^[0-9a-f-]{36}$/);
  expect(await ask()).toMatch(/^[0-9a-f-]{36}$/);
});

test("[MT12] the name of a request joins the lines of edge and host, which call the same things the same", async () => {
  const decisions = async (file: string, requestId: string): Promise<Record<string, unknown>[]> => {
    const lines = (await readFile(join(cluster.directory, file), "utf8")).split("\n");
    return lines
      .filter((line) => line.startsWith("{") && line.includes(requestId))
      .map((line) => JSON.parse(line) as Record<string, unknown>);
  };
  const ask = async (url: string): Promise<Headers> => {
    const headers = { ...(await cluster.clientHeaders()), egress: "session=one" };
    const answer = await fetch(url, { headers });
    await answer.arrayBuffer();
    return answer.headers;
  };
  await cluster.stopHost("h2", "SIGTERM");
  await cluster.untilServing(["h1"]);
  const answered = await ask(cluster.through(cluster.originUrl("/seen")));
  const refused = await ask(cluster.through("http://10.0.0.1/"));
  const both = { host: "h1", requestId: answered.get("egress-request-id") };
  const from = { ip: EGRESS_IP, port: Number(answered.get("egress-port")) };
  const own = { decision: "answered", status: 200, tookMs: expect.any(Number) };
  const [file, ofEdge] = ["h1.log", "logs/edge.log"];
  await until("the lines are written", async () => (await decisions(ofEdge, both.requestId!)).length === 1);
  expect(await decisions(file, both.requestId!)).toMatchObject([
    { ...both, ...from, ...own, tenant: "tester", client: "tester", pool: POOL },
  ]);
  expect(await decisions(ofEdge, both.requestId!)).toMatchObject([{ ...both, ...from, ...own, level: 30 }]);
  const no = { decision: "refused", code: "destination-prohibited" };
  const requestId = refused.get("egress-request-id")!;
  await until("the lines are written", async () => (await decisions(ofEdge, requestId)).length === 1);
  expect(await decisions(file, requestId)).toMatchObject([
    { ...no, requestId, host: "h1", tenant: "tester" },
  ]);
  expect(await decisions(ofEdge, requestId)).toMatchObject([{ ...no, requestId, host: "h1", status: 403 }]);
});

test("[LV8] what a host has counted is on its disk when it has ended, of all its data processes", async () => {
  const kept = await readFile(join(cluster.directory, "hosts", "h2", "past-counts.json"), "utf8");
  const { minutes, quarters } = parsePastCounts(kept)!;
  const answered = (slots: PastCounts["minutes"]) =>
    slots.reduce((sum, { requestCount }) => sum + requestCount, 0);
  expect(answered(minutes)).toBe(answered(quarters));
  // Two of its processes were killed above, and each tells what it counts once a second.
  expect(answered(minutes)).toBeGreaterThan(0);
});

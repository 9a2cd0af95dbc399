/** What happens when parts die: a host under load, and the edge for a minute. */
import { afterEach, expect, test } from "vitest";
import { Agent, request } from "undici";
import { Cluster, delay, EGRESS_IP, until } from "./cluster.ts";

/** Between two requests of a lane. Whatever dies, several requests meet it; more would only heat the machine. */
const PAUSE_MS = 20;

let cluster: Cluster;
const client = new Agent({ connections: null });

afterEach(() => cluster?.stop());

interface Sample {
  readonly atMs: number;
  readonly status: number;
  readonly code: string | null;
  readonly host: string | null;
  readonly body: string;
}

/** Sends one request after another on several lanes, with a short pause, until told to stop. */
function load(url: string, headers: Record<string, string>, laneCount: number) {
  const samples: Sample[] = [];
  const ending = new AbortController();
  const lane = async (): Promise<void> => {
    while (!ending.signal.aborted) {
      const atMs = Date.now();
      try {
        const reply = await request(url, { headers, dispatcher: client });
        const body = await reply.body.text();
        const code = reply.statusCode === 200 ? null : (JSON.parse(body) as { code: string }).code;
        const host = reply.headers["egress-host"];
        samples.push({ atMs, status: reply.statusCode, code, host: host ? String(host) : null, body });
      } catch (fault) {
        samples.push({ atMs, status: 0, code: String(fault), host: null, body: "" });
      }
      await delay(PAUSE_MS);
    }
  };
  const lanes = Array.from({ length: laneCount }, lane);
  return {
    samples,
    end: async () => {
      ending.abort();
      await Promise.all(lanes);
    },
  };
}

test("kill -9 of a host under load: the other takes over, and it comes back to the same blocks", async () => {
  cluster = await Cluster.start({ hosts: ["h1", "h2"] });
  const headers = await cluster.clientHeaders();
  const running = load(cluster.through(cluster.originUrl("/seen")), headers, 16);
  await until("both hosts answer", () => new Set(running.samples.map((sample) => sample.host)).size === 2);
  const before = await cluster.blocksOf("h1");
  expect(before.length).toBeGreaterThan(0);

  // These are in flight at h1 or h2 when h1 dies.
  const inFlight = Array.from({ length: 40 }, async () => {
    const reply = await request(cluster.through(cluster.originUrl("/hold")), {
      method: "POST",
      body: "not to be repeated",
      headers,
      dispatcher: client,
    });
    return { status: reply.statusCode, headers: reply.headers, body: await reply.body.text() };
  });
  await until("the origin holds them", async () => (await cluster.askOrigin("held")) >= 40);
  const killedAtMs = Date.now();
  await cluster.stopHost("h1", "SIGKILL");
  await until("h1's held requests are gone", async () => (await cluster.askOrigin("held")) < 40);
  await cluster.askOrigin("release");
  const ended = await Promise.all(inFlight);
  const lost = ended.filter((reply) => reply.status !== 200);
  expect(lost.length).toBeGreaterThan(0);
  for (const reply of lost) {
    expect(reply.status).toBe(502);
    expect((JSON.parse(reply.body) as { code: string }).code).toBe("host-lost");
    expect(reply.headers["proxy-status"]).toContain("ipshard;error=");
  }
  for (const reply of ended.filter(({ status }) => status === 200)) expect(reply.body).toBe("released");

  await delay(Math.max(0, killedAtMs + 6_000 - Date.now()));
  await running.end();
  const late = running.samples.filter((sample) => sample.atMs > killedAtMs + 5_000);
  expect(late.length).toBeGreaterThan(100);
  expect(late.filter((sample) => sample.status !== 200)).toEqual([]);
  expect(new Set(late.map((sample) => sample.host))).toEqual(new Set(["h2"]));
  for (const sample of running.samples) {
    if (sample.status === 200) {
      expect((JSON.parse(sample.body) as { address: string }).address).toBe(EGRESS_IP);
    } else {
      expect([sample.status, sample.code]).toEqual([502, "host-lost"]);
    }
  }

  await cluster.startHost("h1");
  await cluster.untilServing(["h1", "h2"]);
  expect(await cluster.blocksOf("h1")).toEqual(before);
});

test("the edge is away for a minute: gateways go on, and all comes back by itself", async () => {
  cluster = await Cluster.start({
    hosts: ["h1", "h2"],
    settings: { leaseDurationMs: 120_000 },
    // The origin holds one answer back for as long as the edge is away.
    agentArgs: ["--response-timeout=180000"],
  });
  const { token } = await cluster.apiAs("client", "tester").makeGatewayToken();
  const headers = { "egress-authorization": `Bearer ${token}` };
  const direct = (path: string): string => cluster.through(cluster.originUrl(path), cluster.gatewayOf("h1"));
  const before = { h1: await cluster.blocksOf("h1"), h2: await cluster.blocksOf("h2") };

  const inFlight = request(direct("/hold"), { headers, dispatcher: client });
  await until("a transfer is in flight", async () => (await cluster.askOrigin("held")) === 1);
  const running = load(direct("/seen"), headers, 4);
  await cluster.killEdge();
  await delay(60_000);
  await cluster.askOrigin("release");
  expect(await (await inFlight).body.text()).toBe("released");
  await cluster.startEdge();
  await cluster.untilServing(["h1", "h2"]);
  await running.end();
  expect(running.samples.length).toBeGreaterThan(1_000);
  expect(running.samples.filter((sample) => sample.status !== 200)).toEqual([]);
  expect({ h1: await cluster.blocksOf("h1"), h2: await cluster.blocksOf("h2") }).toEqual(before);
  const through = await fetch(cluster.through(cluster.originUrl("/seen")), {
    headers: await cluster.clientHeaders(),
  });
  expect(through.status).toBe(200);
});

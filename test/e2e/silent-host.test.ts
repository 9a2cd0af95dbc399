/** A host that falls silent with requests handed to it, and wakes again later. */
import { afterEach, expect, test } from "vitest";
import { Agent, request } from "undici";
import { Cluster, delay, until } from "./cluster.ts";

/** In which everything at a silent host is to have an end. */
const END_MS = 8_000;

let cluster: Cluster;
const client = new Agent({ connections: null });

afterEach(async () => {
  for (const { running } of cluster.hosts.values()) running?.child.kill("SIGCONT");
  await cluster.stop();
});

interface Ended {
  readonly status: number;
  readonly code: string | null;
  readonly host: string | null;
  readonly tookMs: number;
}

async function ask(path: string, init: { method?: "GET" | "POST"; body?: string } = {}): Promise<Ended> {
  const sentAtMs = performance.now();
  const headers = await cluster.clientHeaders();
  const url = cluster.through(cluster.originUrl(path));
  const reply = await request(url, { ...init, headers, dispatcher: client });
  const text = await reply.body.text();
  const host = reply.headers["egress-host"];
  return {
    status: reply.statusCode,
    code: reply.statusCode === 200 ? null : (JSON.parse(text) as { code: string }).code,
    host: host === undefined ? null : String(host),
    tookMs: performance.now() - sentAtMs,
  };
}

test("[WK23] what waits at a host that falls silent goes to another or ends by name, and nothing late is answered by others", async () => {
  cluster = await Cluster.start({ hosts: ["h1", "h2"] });
  const held = [
    ...Array.from({ length: 20 }, () => ask("/hold")),
    ...Array.from({ length: 20 }, () => ask("/hold", { method: "POST", body: "once" })),
  ];
  const flowing = request(cluster.through(cluster.originUrl("/trickle")), {
    headers: await cluster.clientHeaders(),
    dispatcher: client,
  });
  await until("the origin holds them", async () => (await cluster.askOrigin("held")) === 40);
  expect(await (await flowing).body.text()).toContain("last");
  const silentSince = performance.now();
  process.kill(cluster.pidOf("h1"), "SIGSTOP");
  // Some of what is sent now goes to the host that nobody knows to be silent yet.
  const late: Ended[] = [];
  while (performance.now() - silentSince < END_MS) {
    late.push(...(await Promise.all(Array.from({ length: 4 }, () => ask("/seen")))));
    await delay(100);
  }
  expect(late.filter(({ status, host }) => status !== 200 || host !== "h2")).toEqual([]);
  // Those of POST that were at it have ended by now; what was repeated is held by the other.
  const lost = (
    await Promise.all(held.slice(20).map((each) => Promise.race([each, delay(10).then(() => null)])))
  ).filter((ended) => ended !== null);
  expect(lost.length).toBeGreaterThan(0);
  for (const { status, code } of lost) expect([status, code]).toEqual([502, "host-lost"]);
  await cluster.askOrigin("release");
  const ended = await Promise.all(held);
  expect(ended.filter(({ status }) => status === 200).every(({ host }) => host === "h2")).toBe(true);
  expect(ended.slice(0, 20).every(({ status }) => status === 200)).toBe(true);
  expect(ended.filter(({ status }) => status !== 200)).toHaveLength(lost.length);

  process.kill(cluster.pidOf("h1"), "SIGCONT");
  await cluster.untilServing(["h1", "h2"]);
  const again = await Promise.all(Array.from({ length: 20 }, () => ask("/seen")));
  expect(again.filter(({ status }) => status !== 200)).toEqual([]);
});

test("[LAW9] [WK23] [WK24] a slow destination is waited for, and asks the control plane nothing", async () => {
  cluster = await Cluster.start({ hosts: ["h1", "h2"] });
  const held = Array.from({ length: 10 }, () => ask("/hold"));
  await until("the origin holds them", async () => (await cluster.askOrigin("held")) === 10);
  const before = (await cluster.admin("GET", "/v1/edge")) as { controlPlaneCalls: number };
  await delay(6_000);
  const after = (await cluster.admin("GET", "/v1/edge")) as { controlPlaneCalls: number };
  expect(after.controlPlaneCalls - before.controlPlaneCalls).toBeLessThanOrEqual(1);
  await cluster.askOrigin("release");
  expect((await Promise.all(held)).filter(({ status }) => status !== 200)).toEqual([]);
});

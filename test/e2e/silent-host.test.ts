/** A host that falls silent with requests handed to it, and wakes again later. */
import { connect } from "node:net";
import { Readable } from "node:stream";
import { afterEach, expect, test } from "vitest";
import { Agent, type Dispatcher, request } from "undici";
import { Cluster, delay, until } from "./cluster.ts";

/** So long requests go on being sent that could go to the silent host. */
const LATE_MS = 8_000;
/** Longer than any time-out on the way, but for that of the lease. */
const SILENCE_MS = 70_000;

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

/** Connections of this host that the origin has open. */
async function openAt(host: string): Promise<number> {
  const open = (await cluster.seen()).filter(({ closedAtMs }) => closedAtMs === null);
  const holders = await Promise.all(open.map(({ port }) => cluster.holderOf(port)));
  return holders.filter((holder) => holder === host).length;
}

test("[WK23] what waits at a host that falls silent goes to another or ends by name, and nothing late is answered by others", async () => {
  cluster = await Cluster.start({ hosts: ["h1", "h2"] });
  const gets = Array.from({ length: 20 }, () => ask("/hold"));
  await until("the origin holds these", async () => (await cluster.askOrigin("held")) === 20);
  const getsAtH1 = await openAt("h1");
  const posts = Array.from({ length: 20 }, () => ask("/hold", { method: "POST", body: "once" }));
  await until("the origin holds them all", async () => (await cluster.askOrigin("held")) === 40);
  const postsAtH1 = (await openAt("h1")) - getsAtH1;
  expect([getsAtH1 > 0, postsAtH1 > 0]).toEqual([true, true]);
  const flowing = request(cluster.through(cluster.originUrl("/trickle")), {
    headers: await cluster.clientHeaders(),
    dispatcher: client,
  });
  expect(await (await flowing).body.text()).toContain("last");
  const silentSince = performance.now();
  process.kill(cluster.pidOf("h1"), "SIGSTOP");
  // Some of what is sent now goes to the host that nobody knows to be silent yet.
  const late: Ended[] = [];
  while (performance.now() - silentSince < LATE_MS) {
    late.push(...(await Promise.all(Array.from({ length: 4 }, () => ask("/seen")))));
    await delay(100);
  }
  expect(late.filter(({ status, host }) => status !== 200 || host !== "h2")).toEqual([]);
  const lost: Ended[] = [];
  for (const post of posts) void post.then((ended) => lost.push(ended));
  await until("each POST that waits at it has ended", () => lost.length === postsAtH1);
  for (const { status, code } of lost) expect([status, code]).toEqual([502, "host-lost"]);
  // What is repeated may be on its way to the origin yet.
  const releasing = setInterval(() => void cluster.askOrigin("release"), 100);
  const ended = await Promise.all([...gets, ...posts]);
  clearInterval(releasing);
  expect(ended.slice(0, 20).every(({ status }) => status === 200)).toBe(true);
  const answered = ended.filter(({ status }) => status === 200);
  expect(answered.filter(({ host }) => host !== "h2")).toEqual([]);
  expect(answered).toHaveLength(40 - postsAtH1);

  process.kill(cluster.pidOf("h1"), "SIGCONT");
  await cluster.untilServing(["h1", "h2"]);
  const again = await Promise.all(Array.from({ length: 20 }, () => ask("/seen")));
  expect(again.filter(({ status }) => status !== 200)).toEqual([]);
});

/** A body that is read as it comes. */
class Stream {
  readonly host: string;
  byteCount = 0;
  /** How it ended; null while it goes on. */
  end: "whole" | "broken" | null = null;

  constructor(reply: Dispatcher.ResponseData) {
    this.host = String(reply.headers["egress-host"]);
    reply.body.on("data", (bytes: Buffer) => (this.byteCount += bytes.length));
    reply.body.on("end", () => (this.end = "whole"));
    reply.body.on("error", () => (this.end ??= "broken"));
  }

  static async open(type: string): Promise<Stream> {
    const url = cluster.through(cluster.originUrl(`/events?type=${type}`));
    return new Stream(await request(url, { headers: await cluster.clientHeaders(), dispatcher: client }));
  }
}

/** Streams of this type, of which both hosts have some. */
async function streamsOf(type: string): Promise<{ h1: Stream[]; h2: Stream[] }> {
  const streams: Stream[] = [];
  const of = (name: string): Stream[] => streams.filter(({ host }) => host === name);
  while (of("h1").length < 3 || of("h2").length < 3) streams.push(await Stream.open(type));
  return { h1: of("h1"), h2: of("h2") };
}

async function untilTheyFlow(streams: readonly Stream[]): Promise<void> {
  const before = streams.map(({ byteCount }) => byteCount);
  await until("they flow", () => streams.every(({ byteCount }, at) => byteCount > before[at]!));
}

test(
  "[WK23] [WK44] a host silent for 70 s under load: all else flows, its event streams end, its other bodies go on after it",
  { timeout: 240_000 },
  async () => {
    cluster = await Cluster.start({ hosts: ["h1", "h2"] });
    const events = await streamsOf("text/event-stream");
    const plain = await streamsOf("text/plain");
    await untilTheyFlow([...events.h1, ...events.h2, ...plain.h1, ...plain.h2]);
    const over = new AbortController();
    let count = 0;
    const load = async (method: "GET" | "POST"): Promise<Ended[]> => {
      const ended: Ended[] = [];
      for (; !over.signal.aborted; await delay(50)) {
        count += 1;
        ended.push(await ask(method === "GET" ? "/seen" : `/once?id=${count}`, { method }));
      }
      return ended;
    };
    const gets = [load("GET"), load("GET"), load("GET")];
    const posts = [load("POST"), load("POST"), load("POST")];
    process.kill(cluster.pidOf("h1"), "SIGSTOP");
    await delay(SILENCE_MS);
    await untilTheyFlow([...events.h2, ...plain.h2]);
    expect(events.h1.map(({ end }) => end)).toEqual(events.h1.map(() => "broken"));
    for (const { end } of [...events.h2, ...plain.h1, ...plain.h2]) expect(end).toBeNull();

    process.kill(cluster.pidOf("h1"), "SIGCONT");
    await untilTheyFlow([...events.h2, ...plain.h1, ...plain.h2]);
    await cluster.untilServing(["h1", "h2"]);
    over.abort();
    const got = (await Promise.all(gets)).flat();
    expect(got.filter(({ status }) => status !== 200)).toEqual([]);
    const posted = (await Promise.all(posts)).flat();
    expect(posted.filter(({ status, code }) => status !== 200 && code !== "host-lost")).toEqual([]);
    expect(posted.length).toBeGreaterThan(100);
    expect(await cluster.askOrigin("repeated")).toEqual([]);
    await cluster.askOrigin("release");
    const streams = [...events.h2, ...plain.h1, ...plain.h2];
    await until("they are whole", () => streams.every(({ end }) => end === "whole"));
  },
);

test("[WK25] [WK44] an event stream that answers an upload nobody reads flows on after it", async () => {
  cluster = await Cluster.start({ hosts: ["h1"] });
  const url = cluster.through(cluster.originUrl("/events"));
  const body = Readable.from(Array.from({ length: 40 }, () => Buffer.alloc(50_000)));
  const stream = new Stream(
    await request(url, { method: "POST", body, headers: await cluster.clientHeaders(), dispatcher: client }),
  );
  await untilTheyFlow([stream]);
  await cluster.askOrigin("release");
  await until("it ends", () => stream.end !== null);
  expect(stream.end).toBe("whole");
});

test("[WK42] [WK44] a client that ends within an event stream frees its port", async () => {
  cluster = await Cluster.start({ hosts: ["h1"] });
  const ending = new AbortController();
  const response = await fetch(cluster.through(cluster.originUrl("/events")), {
    headers: await cluster.clientHeaders(),
    signal: ending.signal,
  });
  expect(response.headers.get("content-type")).toBe("text/event-stream");
  await response.body!.getReader().read();
  ending.abort();
  await until("the origin sees the end", async () => (await cluster.askOrigin("held")) === 0);
});

test("[WK23] a client that gives up takes nobody's watch with it", async () => {
  cluster = await Cluster.start({ hosts: ["h1"] });
  const url = new URL(cluster.through(cluster.originUrl("/hold")));
  const leaving = connect(Number(url.port), url.hostname);
  const fields = Object.entries({ host: url.host, ...(await cluster.clientHeaders()) });
  leaving.write(`GET ${url.pathname}${url.search} HTTP/1.1\r\n`);
  leaving.write(fields.map(([name, value]) => `${name}: ${value}\r\n`).join("") + "\r\n");
  await delay(100);
  const staying = Array.from({ length: 5 }, () => ask("/hold"));
  await delay(200);
  // Within the second for which the first of them counts for all. Of an orderly end workerd is not told.
  leaving.resetAndDestroy();
  await until("the origin holds the others", async () => (await cluster.askOrigin("held")) >= 5);
  process.kill(cluster.pidOf("h1"), "SIGSTOP");
  await cluster.startHost("h2");
  const releasing = setInterval(() => void cluster.askOrigin("release"), 100);
  const ended = await Promise.all(staying);
  clearInterval(releasing);
  expect(ended.map(({ status, host }) => [status, host])).toEqual(ended.map(() => [200, "h2"]));
});

test("[LAW9] [WK23] [WK24] a slow destination is waited for, and asks the control plane nothing", async () => {
  cluster = await Cluster.start({ hosts: ["h1", "h2"] });
  const held = Array.from({ length: 10 }, () => ask("/hold"));
  await until("the origin holds them", async () => (await cluster.askOrigin("held")) === 10);
  const before = await cluster.api.getEdge();
  await delay(6_000);
  const after = await cluster.api.getEdge();
  expect(after.controlPlaneCalls - before.controlPlaneCalls).toBeLessThanOrEqual(1);
  await cluster.askOrigin("release");
  expect((await Promise.all(held)).filter(({ status }) => status !== 200)).toEqual([]);
});

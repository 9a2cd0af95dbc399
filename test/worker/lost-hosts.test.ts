/** Requests whose hosts are lost, and whose fault that was. */
import { describe, expect, it, vi } from "vitest";
import { ok } from "../../src/core/outcome.ts";
import { SUSPECT_MS } from "../../src/worker/hosts/edge-state.ts";
import { HostHealth } from "../../src/worker/hosts/host-health.ts";
import { PassingMarks } from "../../src/worker/hosts/passing-marks.ts";
import { RENEWAL_INTERVAL_MS } from "../../src/worker/hosts/placement-cache.ts";
import {
  absentHosts,
  answerTo,
  ask,
  askedHosts,
  codeOf,
  type Gateway,
  gateways,
  healthQuestions,
  newEgress,
  placementOf,
} from "./edge.ts";

const OK: Gateway = () => new Response("ok");
const lost: Gateway = () => {
  throw new Error("Network connection lost.");
};
const silent: Gateway = () => new Promise(() => {});

function searchFor(url: string): string {
  return `?url=${encodeURIComponent(url)}`;
}

describe("a request that takes its host down", () => {
  it("[WK12] is taken to one other and no further", async () => {
    const { send, hosts } = await newEgress(4);
    for (const host of hosts) gateways.set(host, lost);
    expect(await codeOf(await send({}, searchFor("http://poison.test/")))).toEqual({
      status: 502,
      code: "host-lost",
    });
    expect(askedHosts).toHaveLength(2);
  });

  it("[WK12] sent again and again takes one at a time, and nobody else is kept from another host", async () => {
    vi.useFakeTimers({ toFake: ["Date"] });
    const { send, hosts } = await newEgress(4);
    for (const host of hosts) {
      gateways.set(host, (request) => (request.url.includes("venom") ? lost(request) : new Response("ok")));
    }
    const poison = searchFor("http://venom.test:81/");
    await send({}, poison);
    askedHosts.length = 0;
    for (let count = 0; count < 5; count += 1) {
      const response = await send({}, searchFor(`http://venom.test:81/?${count}`));
      expect((await codeOf(response)).code).toBe("host-lost");
    }
    expect(askedHosts).toHaveLength(5);
    gateways.set(hosts[0]!, lost);
    for (let count = 0; count < 10; count += 1) expect((await send()).status).toBe(200);
    vi.setSystemTime(Date.now() + SUSPECT_MS);
    askedHosts.length = 0;
    await send({}, poison);
    expect(askedHosts).toHaveLength(2);
  });

  it("[WK11] [WK12] goes to one that has come since, when no other was known", async () => {
    vi.useFakeTimers({ toFake: ["Date"] });
    const { send, pool, pools, h1, h2 } = await newEgress(1);
    gateways.set(h1, OK);
    await send();
    gateways.set(h1, lost);
    gateways.set(h2, OK);
    pools.placement = async () => ok(placementOf(pool, [h2]));
    vi.setSystemTime(Date.now() + RENEWAL_INTERVAL_MS);
    expect(await (await send()).text()).toBe("ok");
    expect(askedHosts.slice(-2)).toEqual([h1, h2]);
  });

  it("[WK12] hosts that are dead already cost it nothing: one that lives has it", async () => {
    const { send, hosts, h4 } = await newEgress(4);
    for (const host of hosts) gateways.set(host, lost);
    for (const host of hosts) absentHosts.add(host);
    absentHosts.delete(h4);
    gateways.set(h4, OK);
    for (let count = 0; count < 10; count += 1) expect((await send()).status).toBe(200);
  });
});

describe("what a request asks after a loss", () => {
  it("[WK12] is three hosts at most whether they are there", async () => {
    const { send, pool, pools } = await newEgress();
    const hosts = Array.from({ length: 6 }, (_, at) => `absent-${pool}-${at}`);
    pools.placement = async () => ok(placementOf(pool, hosts));
    for (const host of hosts) absentHosts.add(host);
    expect(await codeOf(await send())).toEqual({ status: 502, code: "host-lost" });
    expect(askedHosts).toHaveLength(1);
    healthQuestions.delete(askedHosts[0]!);
    expect([...healthQuestions.values()]).toEqual([1, 1, 1]);
  });

  it("[WK8] [WK12] passes over for the next request whoever was not there", async () => {
    const { send, h1, h2, h3 } = await newEgress(3);
    vi.spyOn(Math, "random").mockReturnValue(0);
    gateways.set(h3, OK);
    await send();
    await send();
    expect(askedHosts).toEqual([h1, h3, h3]);
    expect([h1, h2].map((host) => healthQuestions.get(host))).toEqual([1, 1]);
  });

  it("[WK12] is nothing more towards the port of another, which is not suspected", async () => {
    const { send, hosts } = await newEgress(4);
    for (const host of hosts) gateways.set(host, lost);
    for (const url of ["http://mixed.test/", "http://mixed.test:81/", "https://mixed.test/"]) {
      askedHosts.length = 0;
      await send({}, searchFor(url));
      expect([url, askedHosts.length]).toEqual([url, 2]);
    }
    askedHosts.length = 0;
    await send({}, searchFor("http://mixed.test:80/other"));
    expect(askedHosts).toHaveLength(1);
  });
});

describe("a request to what is no URL", () => {
  it.each(["?url=nowhere", "?url=", ""])("[WK12] is lost like any other: %s", async (search) => {
    const { send, hosts } = await newEgress(2);
    for (const host of hosts) gateways.set(host, lost);
    const response = await send({ method: "DELETE" }, search);
    expect(await codeOf(response)).toEqual({ status: 502, code: "host-lost" });
  });
});

describe("whose fault it was", () => {
  it("[WK8] is asked of the gateway after each loss anew", async () => {
    const { send, h1, h2 } = await newEgress(2);
    vi.spyOn(Math, "random").mockReturnValue(0);
    gateways.set(h1, lost);
    gateways.set(h2, OK);
    await send();
    absentHosts.add(h1);
    await send();
    await send();
    expect(askedHosts).toEqual([h1, h2, h1, h2, h2]);
    expect(healthQuestions.get(h1)).toBe(2);
  });

  it("[WK8] is known of a host that is passed over, and not asked again", async () => {
    const { send, h1 } = await newEgress(1);
    gateways.set(h1, lost);
    absentHosts.add(h1);
    for (let count = 0; count < 3; count += 1) await send({ method: "POST" });
    expect(askedHosts).toEqual([h1, h1, h1]);
    expect(healthQuestions.get(h1)).toBe(1);
  });

  it.each([
    ["is there", true],
    ["is not there", false],
  ])("[WK8] may be the body's of a GET, of which nobody knows: the gateway %s", async (_what, isThere) => {
    const { pool, pools, token, h1, h2 } = await newEgress(2);
    vi.spyOn(Math, "random").mockReturnValue(0);
    gateways.set(h1, lost);
    gateways.set(h2, OK);
    if (!isThere) absentHosts.add(h1);
    const headers = { "egress-authorization": `Bearer ${token}` };
    const url = "http://edge.test/v1/fetch?url=http%3A%2F%2Forigin.test%2F";
    const request = new Request(url, { method: "POST", body: "of a GET", headers });
    // The runtime makes no such request, but gets them from clients.
    Object.defineProperty(request, "method", { value: "GET" });
    expect(await codeOf(await answerTo(request, pools.env))).toEqual({ status: 502, code: "host-lost" });
    expect(healthQuestions.get(h1)).toBe(1);
    await ask("/v1/fetch?url=http%3A%2F%2Forigin.test%2F", { method: "POST", headers }, pools.env);
    expect([pool, ...askedHosts]).toEqual([pool, h1, isThere ? h1 : h2]);
  });

  it("[WK8] a flow that breaks at a host that is there does not speak against it", async () => {
    const { send, h1, h2 } = await newEgress(2);
    vi.spyOn(Math, "random").mockReturnValue(0);
    gateways.set(h1, (request) => (request.url.includes("odd") ? lost(request) : new Response("ok")));
    gateways.set(h2, OK);
    await send({}, searchFor("http://odd.test/"));
    askedHosts.length = 0;
    await send();
    expect(askedHosts).toEqual([h1]);
  });

  it("[WK8] one that does not say that it is there is passed over", async () => {
    const { send, h1, h2 } = await newEgress(2);
    vi.spyOn(Math, "random").mockReturnValue(0);
    gateways.set(h1, lost);
    absentHosts.add(h1);
    gateways.set(h2, OK);
    await send();
    await send();
    expect(askedHosts).toEqual([h1, h2, h2]);
  });
});

describe("a clock that is set back by an hour", () => {
  it("[WK8] leaves no host passed over for an hour", () => {
    const marks = new PassingMarks(5_000, 10);
    marks.add("h1", 3_600_000);
    expect(marks.has("h1", 3_600_000)).toBe(true);
    expect(marks.isEmpty(0)).toBe(true);
    marks.add("h1", 3_600_000);
    expect(marks.has("h1", 0)).toBe(false);
  });

  it("[WK24] leaves no gateway unasked for an hour", async () => {
    const { h1 } = await newEgress(1);
    gateways.set(h1, OK);
    const health = new HostHealth();
    const [host] = placementOf("eu", [h1]).ips[0]!.hosts;
    expect(await health.isThere(host!)).toBe(true);
    vi.useFakeTimers({ toFake: ["Date"], now: Date.now() - 3_600_000 });
    absentHosts.add(h1);
    expect(await health.isThere(host!)).toBe(false);
  });
});

describe("a host that falls silent", () => {
  /** Two hosts, of which the first is asked first; the pool hears those that are named. */
  async function newSilence(heard: (names: { h1: string; h2: string }) => string[], resting: string[] = []) {
    const egress = await newEgress(2);
    const { h1, h2, pool, pools } = egress;
    vi.spyOn(Math, "random").mockReturnValue(0);
    gateways.set(h1, silent);
    gateways.set(h2, OK);
    let questions = 0;
    pools.placement = async () => {
      questions += 1;
      if (questions === 1) return ok(placementOf(pool, [h1, h2]));
      return ok({ ...placementOf(pool, heard({ h1, h2 })), resting });
    };
    return { ...egress, questions: () => questions };
  }

  it("[WK23] is given up when neither its gateway answers nor the pool hears it", async () => {
    const { send, h1, h2 } = await newSilence((names) => [names.h2]);
    absentHosts.add(h1);
    expect(await (await send()).text()).toBe("ok");
    expect(askedHosts).toEqual([h1, h2]);
  });

  it("[WK46] is told to its pool by the questions that are asked anyway, as long as it is missed", async () => {
    const { send, h1, h2, pool, pools } = await newEgress(2);
    vi.spyOn(Math, "random").mockReturnValue(0);
    gateways.set(h2, OK);
    const asked: (readonly string[] | undefined)[] = [];
    pools.placement = async (missed) => {
      asked.push(missed);
      return ok(placementOf(pool, [h1, h2]));
    };
    vi.useFakeTimers({ toFake: ["Date"] });
    // The first has no gateway: its loss is made good by the other, and nobody asks the pool for that.
    expect(await (await send()).text()).toBe("ok");
    expect([asked, askedHosts]).toEqual([[[]], [h1, h2]]);
    vi.setSystemTime(Date.now() + 4_000);
    await send();
    await vi.waitFor(() => expect(asked).toEqual([[], [h1]]));
    gateways.set(h1, OK);
    vi.setSystemTime(Date.now() + 4_000);
    await send();
    await vi.waitFor(() => expect(asked).toEqual([[], [h1], []]));
  });

  it("[WK23] [PL8] is given up also when another has come in its place, under its name", async () => {
    const { send, h1, h2, pool, pools } = await newSilence((names) => [names.h2]);
    const [first, second] = placementOf(pool, [h1, h2]).ips[0]!.hosts;
    const hosts = [{ ...first!, gateway: `http://${h2}.gateway` }, second!];
    const old = await pools.placement();
    let isOld = true;
    pools.placement = async () => {
      const known = isOld ? old : ok({ pool, ips: [{ ip: "192.0.2.1", hosts }], resting: [] });
      isOld = false;
      return known;
    };
    absentHosts.add(h1);
    expect(await (await send()).text()).toBe("ok");
    expect(askedHosts).toEqual([h1, h2]);
  });

  it("[WK23] holds no port when its answer comes after all", async () => {
    const { send, h1 } = await newSilence((names) => [names.h2]);
    absentHosts.add(h1);
    const late = Promise.withResolvers<Response>();
    gateways.set(h1, () => late.promise);
    expect(await (await send()).text()).toBe("ok");
    const cancelled = new Promise<void>((cancel) => {
      late.resolve(new Response(new ReadableStream({ cancel: () => cancel() })));
    });
    await cancelled;
  });

  it("[WK23] has its upload broken off when it is given up", async () => {
    const { send, h1 } = await newSilence((names) => [names.h2]);
    absentHosts.add(h1);
    let signal: AbortSignal | null = null;
    gateways.set(h1, (request) => {
      ({ signal } = request);
      return silent(request);
    });
    const headers = { "content-length": "4" };
    expect((await send({ method: "PUT", body: "long", headers })).status).toBe(200);
    expect((signal as AbortSignal | null)?.aborted).toBe(true);
  });

  it("[WK23] what cannot be repeated ends as host-lost", async () => {
    const { send, h1 } = await newSilence((names) => [names.h2]);
    absentHosts.add(h1);
    expect(await codeOf(await send({ method: "POST" }))).toEqual({ status: 502, code: "host-lost" });
    expect(askedHosts).toEqual([h1]);
  });

  it("[WK23] an upload of which half was sent ends as host-lost", async () => {
    const { send, h1 } = await newSilence((names) => [names.h2]);
    absentHosts.add(h1);
    const { readable, writable } = new IdentityTransformStream();
    gateways.set(h1, async (request) => {
      const reader = (request.body as ReadableStream<Uint8Array>).getReader();
      while (!(await reader.read()).done);
      return silent(request);
    });
    const writer = writable.getWriter();
    const sent = send({ method: "PUT", body: readable });
    await writer.write(new Uint8Array(40_000));
    await writer.write(new Uint8Array(40_000));
    const response = await sent;
    void writer.close();
    expect(await codeOf(response)).toEqual({ status: 502, code: "host-lost" });
    expect(askedHosts).toEqual([h1]);
  });

  it.each([
    ["the pool hears and its gateway does not answer", true, false],
    ["the pool does not hear and its gateway answers", false, true],
  ])("[WK23] one that %s is waited for", async (_what, isHeard, isThere) => {
    const { send, h1 } = await newSilence((names) => (isHeard ? [names.h1, names.h2] : [names.h2]));
    if (!isThere) absentHosts.add(h1);
    gateways.set(h1, async () => {
      await scheduler.wait(3_500);
      return new Response("late");
    });
    expect(await (await send()).text()).toBe("late");
    expect(askedHosts).toEqual([h1]);
  });

  it("[WK23] one that drains is waited for", async () => {
    const resting: string[] = [];
    const { send, h1 } = await newSilence((names) => [names.h2], resting);
    resting.push(h1);
    absentHosts.add(h1);
    gateways.set(h1, async () => {
      await scheduler.wait(3_000);
      return new Response("late");
    });
    expect(await (await send()).text()).toBe("late");
  });

  it("[WK24] many that wait for a slow destination ask its gateway once a second, and no pool", async () => {
    const { send, h1, questions } = await newSilence((names) => [names.h1, names.h2]);
    gateways.set(h1, OK);
    await send();
    gateways.set(h1, async () => {
      await scheduler.wait(2_700);
      return new Response("slow");
    });
    const before = { pool: questions(), health: healthQuestions.get(h1) ?? 0 };
    const answers = await Promise.all(Array.from({ length: 40 }, () => send()));
    expect(answers.every((answer) => answer.ok)).toBe(true);
    expect((healthQuestions.get(h1) ?? 0) - before.health).toBeLessThanOrEqual(4);
    expect(questions() - before.pool).toBeLessThanOrEqual(1);
  });

  it("[WK44] ends an event stream with an error, and no other body", async () => {
    const { send, h1 } = await newSilence((names) => [names.h2]);
    const begin = async (type: string) => {
      const { readable, writable } = new IdentityTransformStream();
      const headers = { "content-type": type };
      gateways.set(h1, () => new Response(readable, { headers }));
      const body = (await send()).body!.getReader() as ReadableStreamDefaultReader<Uint8Array>;
      const writer = writable.getWriter();
      const written = writer.write(new TextEncoder().encode("data: 1\n\n"));
      expect((await body.read()).done).toBe(false);
      await written;
      return { body, writer };
    };
    const plain = await begin("text/plain");
    const events = await begin("text/event-stream; charset=utf-8");
    absentHosts.add(h1);
    const rest = plain.body.read();
    await expect(events.body.read()).rejects.toThrow("the host fell silent");
    void plain.writer.close();
    expect((await rest).done).toBe(true);
  });

  it("[WK44] an event stream ends as the host ends it, and nobody is looked after any more", async () => {
    const { send, h1 } = await newEgress(1);
    const headers = { "content-type": "text/event-stream", "x-a": "1" };
    gateways.set(h1, () => new Response("data: 1\n\n", { headers }));
    await send();
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const answer = await send();
    expect(answer.headers.get("x-a")).toBe("1");
    expect(await answer.text()).toBe("data: 1\n\n");
    await vi.waitFor(() => expect(vi.getTimerCount()).toBe(0));
  });

  it("[WK44] an event stream that breaks at the host breaks for its reader", async () => {
    const { send, h1 } = await newEgress(1);
    const body = new ReadableStream({
      pull: (controller) => controller.error(new Error("broken at the host")),
    });
    gateways.set(h1, () => new Response(body, { headers: { "content-type": "text/event-stream" } }));
    await expect((await send()).text()).rejects.toThrow("broken at the host");
  });

  it("[WK44] an event stream that nobody reads any more is cancelled at the host with its next event", async () => {
    const { send, h1 } = await newEgress(1);
    const { promise: cancelled, resolve: cancel } = Promise.withResolvers<string>();
    const body = new ReadableStream({
      pull: (controller) => controller.enqueue(new TextEncoder().encode("data: 1\n\n")),
      cancel: () => cancel("cancelled"),
    });
    gateways.set(h1, () => new Response(body, { headers: { "content-type": "text/event-stream" } }));
    const answer = await send();
    await answer.body!.cancel();
    expect(await cancelled).toBe("cancelled");
  });

  it("[WK44] an event stream that is coded passes as it came", async () => {
    const { send, h1 } = await newEgress(1);
    const headers = { "content-type": "text/event-stream", "content-encoding": "gzip" };
    gateways.set(h1, () => new Response("coded already", { headers, encodeBody: "manual" }));
    const answer = await send();
    expect(answer.headers.get("content-encoding")).toBe("gzip");
  });
});

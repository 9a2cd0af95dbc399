/** What an isolate remembers for a while, and how much of it. */
import { describe, expect, it, vi } from "vitest";
import { ok } from "../../src/core/outcome.ts";
import { HostDoubts } from "../../src/worker/hosts/host-doubts.ts";
import { HostHealth, OpenQuestions } from "../../src/worker/hosts/host-health.ts";
import { HostWatch } from "../../src/worker/hosts/host-watch.ts";
import { PassingMarks } from "../../src/worker/hosts/passing-marks.ts";
import { absentHosts, gateways, healthQuestions, placementOf } from "./edge.ts";

const OK = (): Response => new Response("ok");

describe("a mark", () => {
  it("[WK8] lasts as long as it should, of its own thing alone", () => {
    const marks = new PassingMarks(5_000, 10);
    expect(marks.isEmpty(0)).toBe(true);
    marks.add("h1", 0);
    expect([marks.has("h1", 4_999), marks.has("h2", 0), marks.isEmpty(4_999)]).toEqual([true, false, false]);
    expect(marks.has("h1", 5_000)).toBe(false);
    expect(marks.isEmpty(0)).toBe(true);
  });

  it("[WK8] that was seen to have ended stays ended, though the clock be set back", () => {
    const marks = new PassingMarks(5_000, 10);
    marks.add("h1", 0);
    expect(marks.isEmpty(5_000)).toBe(true);
    expect(marks.has("h1", 4_999)).toBe(false);
    marks.add("h2", 0);
    expect([marks.has("h2", 5_000), marks.has("h2", 4_999)]).toEqual([false, false]);
  });

  it("[WK8] counts from the moment it is set, and not at all once the clock was set back before that", () => {
    const marks = new PassingMarks(5_000, 10);
    marks.add("h1", 10_000);
    expect([marks.has("h1", 10_000), marks.has("h1", 9_999)]).toEqual([true, false]);
    expect(marks.has("h1", 0)).toBe(false);
  });

  it("[WK8] lasts anew when it is set again, and ends when it is taken off", () => {
    const marks = new PassingMarks(5_000, 10);
    marks.add("h1", 0);
    marks.add("h2", 1_000);
    marks.add("h1", 4_000);
    expect(marks.isEmpty(5_500)).toBe(false);
    expect([marks.has("h1", 8_999), marks.has("h2", 8_999)]).toEqual([true, false]);
    marks.remove("h1");
    expect(marks.has("h1", 5_000)).toBe(false);
  });

  it("[WK46] is told with all others that last", () => {
    const marks = new PassingMarks(5_000, 10);
    for (const [at, key] of ["b", "a", "c"].entries()) marks.add(key, at * 1_000);
    marks.remove("a");
    expect([marks.present(2_000), marks.present(5_000), marks.present(7_000)]).toEqual([
      ["b", "c"],
      ["c"],
      [],
    ]);
  });

  it("[WK21] is forgotten for another when there are too many, the oldest first", () => {
    const marks = new PassingMarks(5_000, 2);
    marks.add("a", 0);
    marks.add("b", 0);
    marks.add("a", 0);
    expect(["a", "b"].map((key) => marks.has(key, 1))).toEqual([true, true]);
    marks.add("c", 0);
    expect(["a", "b", "c"].map((key) => marks.has(key, 1))).toEqual([true, false, true]);
  });
});

describe("a host in doubt", () => {
  it("[WK46] is told to its own pool, until its gateway answers or nobody has missed it for 5 s", () => {
    const doubts = new HostDoubts();
    doubts.add("eu", "h1", 0);
    doubts.add("eu", "h2", 1_000);
    doubts.add("eu-2", "h1", 1_000);
    expect(doubts.tell("eu", 2_000)).toEqual(["h1", "h2"]);
    doubts.remove("eu", "h2");
    doubts.add("eu", "h1", 3_000);
    expect([doubts.tell("eu", 7_999), doubts.tell("eu", 8_000)]).toEqual([["h1"], []]);
    expect(doubts.tell("eu-2", 5_999)).toEqual(["h1"]);
    expect(doubts.tell("us", 2_000)).toEqual([]);
  });

  it("[WK46] counts as told once it was, until its gateway answers", () => {
    const doubts = new HostDoubts();
    doubts.add("eu", "h1", 0);
    expect(doubts.isTold("eu", "h1", 0)).toBe(false);
    doubts.tell("eu", 0);
    expect([doubts.isTold("eu", "h1", 1), doubts.isTold("us", "h1", 1)]).toEqual([true, false]);
    doubts.remove("eu", "h1");
    doubts.add("eu", "h1", 1);
    expect(doubts.isTold("eu", "h1", 1)).toBe(false);
  });
});

describe("what a gateway says of itself", () => {
  const placed = (host: string) => placementOf("eu", [host]).ips[0]!.hosts[0]!;

  it.each<[string, () => Response, boolean]>([
    ["that it is there", () => Response.json({ status: "ok" }), true],
    ["that it cannot serve", () => Response.json({ status: "draining" }, { status: 503 }), true],
    ["nothing", () => Response.json(null), false],
    ["something else", () => Response.json({ status: 1 }), false],
    ["another thing", () => Response.json({ ok: true }), false],
    ["what is no JSON", () => new Response("<html>"), false],
  ])("[WK23] %s", async (_what, answer, isThere) => {
    const asked: [unknown, RequestInit | undefined][] = [];
    vi.stubGlobal("fetch", async (url: unknown, init?: RequestInit) => {
      asked.push([url, init]);
      return answer();
    });
    expect(await new HostHealth().isThere(placed("said"))).toBe(isThere);
    expect(asked).toMatchObject([["http://said.gateway/health", { redirect: "manual" }]]);
  });

  it("[WK23] is nothing when it has said nothing in time", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    vi.stubGlobal("fetch", (_url: unknown, { signal }: { signal: AbortSignal }) => {
      const { promise, reject } = Promise.withResolvers<never>();
      signal.addEventListener("abort", () => reject(signal.reason));
      return promise;
    });
    const health = new HostHealth();
    const host = placed("mute");
    const isThere = health.isThere(host);
    await vi.advanceTimersByTimeAsync(1_000);
    expect([await isThere, health.isLost(host)]).toEqual([false, false]);
    await vi.advanceTimersByTimeAsync(2_999);
    expect(health.isLost(host)).toBe(false);
    await vi.advanceTimersByTimeAsync(1);
    expect(health.isLost(host)).toBe(true);
    expect(vi.getTimerCount()).toBe(0);
  });

  it("[WK24] is asked once by many, who go by what was known until it has answered", async () => {
    vi.useFakeTimers({ toFake: ["Date"] });
    const health = new HostHealth();
    gateways.set("asked", OK);
    absentHosts.add("asked");
    const [first, second] = [health.isThere(placed("asked")), health.isThere(placed("asked"))];
    expect([await first, await second]).toEqual([false, true]);
    expect(await health.isThere(placed("asked"))).toBe(false);
    expect(healthQuestions.get("asked")).toBe(1);
    absentHosts.clear();
    vi.setSystemTime(Date.now() + 999);
    expect(await health.isThere(placed("asked"))).toBe(false);
    vi.setSystemTime(Date.now() + 1);
    const [third, fourth] = [health.isThere(placed("asked")), health.isThere(placed("asked"))];
    expect([await third, await fourth]).toEqual([true, false]);
    expect(healthQuestions.get("asked")).toBe(2);
  });

  /** Gateways that answer when they are told to, each question by itself. */
  function questions(): ((isThere: boolean) => void)[] {
    const answer: ((isThere: boolean) => void)[] = [];
    vi.stubGlobal("fetch", () => {
      const { promise, resolve } = Promise.withResolvers<Response>();
      answer.push((isThere) => resolve(isThere ? Response.json({ status: "ok" }) : new Response("<html>")));
      return promise;
    });
    return answer;
  }

  /** Ends with its signal, as a real `fetch` does. */
  function abortable(fetched: typeof fetch): typeof fetch {
    return (input, init) =>
      Promise.race([
        fetched(input, init),
        new Promise<never>((_resolve, reject) => {
          init!.signal!.addEventListener("abort", () => reject(new Error("given up")));
        }),
      ]);
  }

  it("[WK23] is lost after four seconds without any answer, and there again with one, however late", async () => {
    vi.useFakeTimers({ toFake: ["Date", "setTimeout", "clearTimeout"] });
    const answer = questions();
    const health = new HostHealth();
    const host = placed("busy");
    const first = health.ask(host.gateway);
    await vi.advanceTimersByTimeAsync(1_000);
    expect([await first, health.isLost(host)]).toEqual([false, false]);
    const second = health.ask(host.gateway);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(await second).toBe(false);
    answer[0]!(true);
    await scheduler.wait(20);
    expect(await health.isThere(host)).toBe(true);
    answer[1]!(false);
    await scheduler.wait(20);
    expect([await health.isThere(host), health.isLost(host)]).toEqual([false, true]);
    expect(vi.getTimerCount()).toBe(0);
  });

  it("[WK24] counts for all at once, though the next question has begun by then", async () => {
    vi.useFakeTimers({ toFake: ["Date"] });
    const health = new HostHealth();
    const answer = questions();
    const first = health.isThere(placed("slow"));
    for (let round = 0; round < 5; round += 1) {
      vi.setSystemTime(Date.now() + 1_001);
      void health.isThere(placed("slow"));
      expect(answer).toHaveLength(round + 2);
      answer[round]!(false);
      if (round === 0) expect(await first).toBe(false);
      else await Promise.resolve();
      expect(await health.isThere(placed("slow"))).toBe(false);
    }
  });

  it("[WK24] is silence only as far as somebody was there to hear", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const answer = questions();
    vi.stubGlobal("fetch", abortable(globalThis.fetch));
    const health = new HostHealth();
    const held = health.ask(placed("held-up").gateway);
    // However long each took: of a Worker that is held up one timer at a time comes to its turn.
    for (let turn = 0; turn < 9; turn += 1) vi.advanceTimersToNextTimer();
    answer[0]!(true);
    expect(await held).toBe(true);
    expect(vi.getTimerCount()).toBe(0);
    const silent = health.ask(placed("silent").gateway);
    for (let turn = 0; turn < 10; turn += 1) vi.advanceTimersToNextTimer();
    expect(await silent).toBe(false);
  });

  it("[WK24] is the answer to the later of two questions, whichever comes first", async () => {
    vi.useFakeTimers({ toFake: ["Date"] });
    const health = new HostHealth();
    const answer = questions();
    const first = health.ask(placed("crossed").gateway);
    vi.setSystemTime(Date.now() + 10);
    const second = health.ask(placed("crossed").gateway);
    answer[1]!(true);
    expect(await second).toBe(true);
    answer[0]!(false);
    expect(await first).toBe(false);
    expect(await health.isThere(placed("crossed"))).toBe(true);
    // A clock that was set back takes nothing from what is found out then.
    vi.setSystemTime(Date.now() - 3_600_000);
    const third = health.ask(placed("crossed").gateway);
    answer[2]!(false);
    await third;
    expect(await health.isThere(placed("crossed"))).toBe(false);
  });

  it("[WK23] [WK24] is found out by two open questions of a request at most, as soon as by more", async () => {
    vi.useFakeTimers({ toFake: ["Date", "setTimeout", "clearTimeout"] });
    let openCount = 0;
    let mostOpen = 0;
    let askedCount = 0;
    vi.stubGlobal("fetch", (_url: unknown, { signal }: { signal: AbortSignal }) => {
      const { promise, reject } = Promise.withResolvers<never>();
      openCount += 1;
      askedCount += 1;
      mostOpen = Math.max(mostOpen, openCount);
      signal.addEventListener("abort", () => {
        openCount -= 1;
        reject(signal.reason);
      });
      return promise;
    });
    const gone = Promise.withResolvers<number>();
    const beganMs = Date.now();
    const load = async () => ok(placementOf("hushed", []));
    const waiting = { host: placed("hushed"), pool: "hushed", load };
    const watch = new HostWatch(waiting, () => gone.resolve(Date.now() - beganMs));
    await vi.advanceTimersByTimeAsync(8_000);
    // As with any number of them: the first is lost after four seconds, and looks have their pace.
    expect(await gone.promise).toBe(6_000);
    watch.stop();
    expect([askedCount, mostOpen]).toEqual([3, 2]);
    await vi.advanceTimersByTimeAsync(4_000);
    expect([openCount, vi.getTimerCount()]).toEqual([0, 0]);
  });

  it("[WK24] a question that was given up says nothing, and the oldest is heard to its end", async () => {
    vi.useFakeTimers({ toFake: ["Date", "setTimeout", "clearTimeout"] });
    const health = new HostHealth();
    const answer = questions();
    vi.stubGlobal("fetch", abortable(globalThis.fetch));
    const open = new OpenQuestions();
    const host = placed("late");
    for (let round = 0; round < 3; round += 1) {
      void health.ask(host.gateway, open);
      await vi.advanceTimersByTimeAsync(1_001);
    }
    expect(health.isLost(host)).toBe(false);
    answer[0]!(true);
    await vi.advanceTimersByTimeAsync(0);
    expect([await health.isThere(host), health.isLost(host)]).toEqual([true, false]);
    expect(answer).toHaveLength(3);
    // The latest is the oldest now, and nothing had been said of it before.
    await vi.advanceTimersByTimeAsync(3_000);
    expect(health.isLost(host)).toBe(true);
    expect(vi.getTimerCount()).toBe(0);
  });

  it("[WK24] is remembered of 4,096 gateways, and the oldest is forgotten", async () => {
    vi.useFakeTimers({ toFake: ["Date"] });
    const health = new HostHealth();
    const names = Array.from({ length: 4_096 }, (_, at) => `one-of-many-${at}`);
    for (const name of names) await health.isThere(placed(name));
    await health.isThere(placed(names[0]!));
    await health.isThere(placed(names[1]!));
    expect([healthQuestions.get(names[0]!), healthQuestions.get(names[1]!)]).toEqual([1, 1]);
    await health.isThere(placed("one-too-many"));
    await health.isThere(placed(names[1]!));
    await health.isThere(placed(names[0]!));
    expect([healthQuestions.get(names[0]!), healthQuestions.get(names[1]!)]).toEqual([2, 1]);
  });
});

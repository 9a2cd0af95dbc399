/** The question whether the rest of an upload may be sent. */
import { beforeEach, describe, expect, it, vi } from "vitest";
import { GoAhead } from "../../src/worker/egress/upload-go-ahead.ts";

type Answer = (signal: AbortSignal) => Response | Promise<Response>;

const silent: Answer = (signal) => {
  const { promise, reject } = Promise.withResolvers<never>();
  signal.addEventListener("abort", () => reject(new Error("given up")));
  return promise;
};
const says = (status: string): Response =>
  new Response(null, { status: 204, headers: { "egress-upload": status } });

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
});

/** A question to a gateway that answers as told; `asked` are the questions it got. */
function newGoAhead(...answers: Answer[]) {
  const asked: { url: string; init: RequestInit }[] = [];
  vi.stubGlobal("fetch", async (url: string, init: RequestInit & { signal: AbortSignal }) => {
    asked.push({ url, init });
    return answers[asked.length - 1]!(init.signal);
  });
  const headers = new Headers({ "egress-authorization": "Bearer t" });
  return { goAhead: new GoAhead("http://h1.gateway", headers), headers, asked };
}

describe("the go-ahead of an upload", () => {
  it.each([
    ["ready", true],
    ["unknown", true],
    ["ended", false],
  ])("[WK43] that is said to be %s: %o, by one question", async (status, expected) => {
    const { goAhead, headers, asked } = newGoAhead(() => says(status));
    expect(await Promise.all([goAhead.ask(), goAhead.ask()])).toEqual([expected, expected]);
    expect(await goAhead.ask()).toBe(expected);
    expect(asked).toMatchObject([
      {
        url: `http://h1.gateway/v1/uploads/${headers.get("egress-upload")}`,
        init: { redirect: "manual", headers: { "egress-authorization": "Bearer t" } },
      },
    ]);
    expect(vi.getTimerCount()).toBe(0);
  });

  it("[WK43] leaves no body of an answer unread", async () => {
    const cancel = vi.fn<() => void>();
    const { goAhead } = newGoAhead(() => new Response(new ReadableStream({ cancel })));
    expect(await goAhead.ask()).toBe(true);
    expect(cancel).toHaveBeenCalledOnce();
  });

  it("[WK43] comes by itself when the gateway is silent for 45 s, and is not asked for again", async () => {
    const { goAhead, asked } = newGoAhead(silent);
    const told = vi.fn<(mayGoOn: boolean) => void>();
    const answer = goAhead.ask().then(told);
    await vi.advanceTimersByTimeAsync(44_999);
    expect(told).not.toHaveBeenCalled();
    await vi.advanceTimersByTimeAsync(1);
    await answer;
    expect(told).toHaveBeenCalledWith(true);
    expect(asked).toHaveLength(1);
  });

  it("[WK43] is asked for twice at most, when questions are lost", async () => {
    const lost: Answer = () => Promise.reject(new Error("Network connection lost."));
    const { goAhead, asked } = newGoAhead(lost, lost, () => says("ended"));
    expect(await goAhead.ask()).toBe(true);
    expect(asked).toHaveLength(2);
    expect(vi.getTimerCount()).toBe(0);
  });

  it("[WK43] is waited for no more when the try is over, and not asked for any more", async () => {
    const { goAhead, asked } = newGoAhead(silent);
    const answer = goAhead.ask();
    goAhead.end();
    expect(await answer).toBe(true);
    expect(asked).toHaveLength(1);
    expect(vi.getTimerCount()).toBe(0);
    const over = newGoAhead(silent);
    over.goAhead.end();
    expect(await over.goAhead.ask()).toBe(true);
    expect(over.asked).toEqual([]);
  });
});

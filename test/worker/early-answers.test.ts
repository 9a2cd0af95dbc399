/** Answers that come before the client has sent its body. */
import { describe, expect, it, vi } from "vitest";
import { codeOf, gatewayRefusal, gateways, newEgress } from "./edge.ts";

/** An upload that is answered before it has come, and how to send more of it. */
async function earlyAnswer(make: (host: string) => Response, framing: Record<string, string> = {}) {
  const { send, h1 } = await newEgress();
  gateways.set(h1, async (request) => {
    // As a host's connection does when it has answered and closes.
    await request.body?.cancel();
    return make(h1);
  });
  const { readable, writable } = new IdentityTransformStream();
  const writer = writable.getWriter();
  const answer = await send({ method: "POST", body: readable, headers: framing });
  return { answer, writer };
}

describe("an answer that comes before the body", () => {
  it.each<[string, Record<string, string>]>([
    ["of unknown length", {}],
    ["of known length", { "content-length": "5" }],
  ])("[WK25] %s stays open until all of the body has come", async (_what, framing) => {
    const { answer, writer } = await earlyAnswer(
      (host) => new Response("early", { status: 413, headers: { ...framing, "egress-host": host } }),
    );
    expect(answer.status).toBe(413);
    const steps: string[] = [];
    const read = answer.text().then((text) => steps.push(text));
    for (let count = 0; count < 5; count += 1) await writer.write(new Uint8Array(40_000));
    steps.push("sent");
    await writer.close();
    await read;
    expect(steps).toEqual(["sent", "early"]);
  });

  it("[WK25] ends when the client breaks off", async () => {
    const { answer, writer } = await earlyAnswer(
      (host) => new Response("early", { status: 413, headers: { "egress-host": host } }),
    );
    await writer.abort(new Error("client went away"));
    expect(await answer.text()).toBe("early");
  });

  it.each<[string, Record<string, string>, number]>([
    ["of unknown length", {}, 2_000],
    ["of known length", { "content-length": "5" }, 10_000],
  ])("[WK25] %s does not wait for ever", async (_what, framing, lingerMs) => {
    const waited: number[] = [];
    const wait = scheduler.wait.bind(scheduler);
    vi.spyOn(scheduler, "wait").mockImplementation(async (ms, ...rest) => {
      waited.push(ms);
      if (ms <= 1_000) await wait(ms, ...rest);
    });
    const { answer } = await earlyAnswer(
      (host) => new Response("early", { headers: { ...framing, "egress-host": host } }),
    );
    expect(await answer.text()).toBe("early");
    expect(waited.filter((ms) => ms > 1_000)).toEqual([lingerMs]);
  });

  it("[WK25] that can have no body, or is coded, is returned at once as it is", async () => {
    for (const status of [204, 205, 304]) {
      const { answer } = await earlyAnswer(() => new Response(null, { status }));
      expect([answer.status, answer.body]).toEqual([status, null]);
    }
    const headers = { "content-encoding": "gzip" };
    const { answer } = await earlyAnswer(() => new Response("coded", { headers, encodeBody: "manual" }));
    expect(await answer.text()).toBe("coded");
  });

  it("[WK25] without a body stays open all the same", async () => {
    const { answer, writer } = await earlyAnswer(
      (host) => new Response(null, { status: 403, headers: { "egress-host": host } }),
    );
    const steps: string[] = [];
    const read = answer.text().then((text) => steps.push(`ended ${text}`));
    await writer.write(new Uint8Array(100_000));
    steps.push("sent");
    await writer.close();
    await read;
    expect(steps).toEqual(["sent", "ended "]);
  });

  it("[WK11] [WK25] stays open after the last host has refused", async () => {
    const { answer, writer } = await earlyAnswer(() => gatewayRefusal("port-block-exhausted"));
    const read = codeOf(answer);
    await writer.write(new Uint8Array(40_000));
    await writer.write(new Uint8Array(40_000));
    await writer.close();
    expect(await read).toEqual({ status: 503, code: "port-block-exhausted" });
  });
});

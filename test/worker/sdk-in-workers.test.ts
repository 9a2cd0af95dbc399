import { describe, expect, it } from "vitest";
import { createEgress } from "../../src/sdk/egress.ts";
import { ask, gateways, newEgress } from "./edge.ts";

const DESTINATION = "http://origin.test/x";

/** The SDK inside a Worker, and what the gateway gets of its calls. */
async function sdk() {
  const { pool, pools, token, h1 } = await newEgress();
  gateways.set(h1, async (request) => {
    const { method, headers } = request;
    const fields = Object.fromEntries(headers);
    return Response.json({ method, fields, body: await request.text() }, { headers: { "egress-host": h1 } });
  });
  const egress = createEgress({
    endpoint: "https://edge.test",
    token,
    pool,
    fetch: (url, init) => ask(url.slice("https://edge.test".length), init, pools.env),
  });
  return async (...args: Parameters<typeof egress.fetch>) => {
    const response = await egress.fetch(...args);
    return response.json<{ method: string; fields: Record<string, string>; body: string }>();
  };
}

describe("the SDK in a Worker", () => {
  it.each([
    ["a string", "text"],
    ["bytes", new TextEncoder().encode("text")],
    ["a blob", new Blob(["text"])],
    ["parameters", new URLSearchParams({ text: "" })],
  ])("[CL1] sends %s, given as it is and in a Request", async (_what, body) => {
    const call = await sdk();
    for (const seen of [
      await call(DESTINATION, { method: "POST", body }),
      await call(new Request(DESTINATION, { method: "POST", body })),
    ]) {
      expect([seen.method, seen.body.replace("=", "")]).toEqual(["POST", "text"]);
    }
  });

  it("[CL1] streams what is still to come", async () => {
    const call = await sdk();
    const { readable, writable } = new IdentityTransformStream();
    const answered = call(new Request(DESTINATION, { method: "PUT", body: readable }));
    await scheduler.wait(50);
    const writer = writable.getWriter();
    await writer.write(new TextEncoder().encode("late"));
    await writer.close();
    expect(await answered).toMatchObject({ method: "PUT", body: "late" });
  });

  it("[CL1] [CL4] [CL7] takes what fetch takes, and asks for no more", async () => {
    const call = await sdk();
    for (const init of [
      null,
      undefined,
      {},
      { redirect: "error" as const },
      { redirect: "manual" as const },
    ]) {
      const { method, fields } = await call(DESTINATION, init);
      expect([method, fields["cache-control"], fields["pragma"]]).toEqual(["GET", undefined, undefined]);
    }
    await expect(call(DESTINATION, { body: "x" })).rejects.toThrow(TypeError);
    await expect(call("/relative")).rejects.toThrow(TypeError);
  });
});

import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { ask, codeOf, environment, gateways, newEgress, tokenFor } from "./edge.ts";

const URL_QUERY = "?url=http%3A%2F%2Forigin.test%2F";

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["Date"] });
  vi.setSystemTime(Math.floor(Date.now() / 1_000) * 1_000);
});
afterEach(() => {
  vi.useRealTimers();
});

function endOf(token: string): number {
  return (JSON.parse(atob(token.split(".")[1]!)) as { exp: number }).exp * 1_000 - Date.now();
}

describe("a gateway token", () => {
  it("[ID7] of the Worker's own ends no later than its client's, and is kept until then", async () => {
    const { pool, pools, h1 } = await newEgress();
    const seen: string[] = [];
    gateways.set(h1, ({ headers }) => {
      seen.push(headers.get("egress-authorization")!);
      return new Response("ok");
    });
    for (const timeMs of [20_000, 3_600_000, 20_000]) {
      const token = await tokenFor({ pools: [pool], expiresAtMs: Date.now() + timeMs });
      const headers = { "egress-authorization": `Bearer ${token}` };
      for (let count = 0; count < 2; count += 1) {
        expect((await ask(`/v1/fetch${URL_QUERY}`, { headers }, pools.env)).status).toBe(200);
      }
    }
    expect(seen.map(endOf)).toEqual([20_000, 20_000, 600_000, 600_000, 20_000, 20_000]);
    expect(new Set(seen).size).toBe(2);
  });

  it.each([
    [20_000, 20_000],
    [20_700, 20_000],
    [600_000, 600_000],
    [3_600_000, 600_000],
  ])("[ID7] asked for with a token that ends in %i ms ends in %i ms", async (timeMs, expectedMs) => {
    const { pool, pools } = await newEgress();
    const token = await tokenFor({ pools: [pool], expiresAtMs: Date.now() + timeMs });
    const headers = { "egress-authorization": `Bearer ${token}` };
    const response = await ask("/v1/gateway-tokens", { method: "POST", headers }, pools.env);
    const made = await response.json<{ token: string; expiresAt: string }>();
    expect(endOf(made.token)).toBe(expectedMs);
    expect(Date.parse(made.expiresAt) - Date.now()).toBe(expectedMs);
  });

  it("[ID7] cannot be had with a token that has ended since it was remembered", async () => {
    const { pool, pools, h1 } = await newEgress();
    gateways.set(h1, () => new Response("ok"));
    const token = await tokenFor({ pools: [pool], expiresAtMs: Date.now() + 2_000 });
    const headers = { "egress-authorization": `Bearer ${token}` };
    expect((await ask(`/v1/fetch${URL_QUERY}`, { headers }, pools.env)).status).toBe(200);
    vi.setSystemTime(Date.now() + 2_000);
    for (const [method, path] of [
      ["GET", `/v1/fetch${URL_QUERY}`],
      ["POST", "/v1/gateway-tokens"],
    ] as const) {
      const response = await ask(path, { method, headers }, environment);
      expect(await codeOf(response)).toEqual({ status: 401, code: "token-expired" });
    }
  });
});

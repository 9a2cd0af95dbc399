import { env } from "cloudflare:workers";
import { afterEach, expect, it } from "vitest";
import { fetchByGatewayNetwork } from "../../src/worker/gateway-network.ts";

const bindings = env as unknown as { GATEWAYS?: { fetch: typeof fetch } };
const before = globalThis.fetch;

afterEach(() => {
  globalThis.fetch = before;
  delete bindings.GATEWAYS;
});

it("[WK41] fetch leads to the network of the gateways, where that has a name", async () => {
  fetchByGatewayNetwork();
  expect(globalThis.fetch).toBe(before);
  bindings.GATEWAYS = {
    fetch: async (input, init) => Response.json([input, init?.method]),
  };
  fetchByGatewayNetwork();
  const answer = await globalThis.fetch("http://h1.gateway/", { method: "PUT" });
  expect(await answer.json()).toEqual(["http://h1.gateway/", "PUT"]);
});

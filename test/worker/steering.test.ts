/** A router's way to its pool, and what administrators see of it. */
import { beforeAll, describe, expect, it, vi } from "vitest";
import { HEARTBEAT, PROTOCOL_VERSION } from "../../src/core/messages.ts";
import { administer, ask, codeOf, environment, freshNames, tokenFor } from "./edge.ts";

const { pool } = freshNames();
const OTHER_POOL = "steering-other";
const IP = "203.0.113.41";

beforeAll(async () => {
  await administer("PUT", `/v1/pools/${pool}`, { settings: { steeringDeadlineMs: 1_000 } });
  await administer("PUT", `/v1/pools/${OTHER_POOL}`, {});
  await administer("PUT", `/v1/pools/${pool}/ips/${IP}`);
});

async function connect(
  path: string,
  role: "router" | "host" = "router",
  extra: Record<string, string> = {},
  env = environment,
): Promise<Response> {
  const token = await tokenFor({ role, subject: "r1", pools: [pool] });
  const headers = { authorization: `Bearer ${token}`, upgrade: "websocket", ...extra };
  return ask(path, { headers }, env);
}

describe("a router's connection", () => {
  it("[WK17] leads to the steering table, and to its status", async () => {
    const socket = (await connect(`/v1/pools/${pool}/steering`)).webSocket!;
    const heard = new Promise<Record<string, any>>((resolve) => {
      socket.addEventListener("message", ({ data }) => resolve(JSON.parse(data as string)), { once: true });
    });
    socket.accept();
    socket.send(JSON.stringify({ type: "enroll", version: PROTOCOL_VERSION, instance: "instance-1" }));
    const { type, table } = await heard;
    expect(type).toBe("table");
    expect(table).toMatchObject({ ips: [IP], entries: [], nextHops: [] });
    socket.send(JSON.stringify({ type: "acknowledge", sequence: table.sequence }));
    await vi.waitFor(async () => {
      socket.send(HEARTBEAT);
      const shown = await (await administer("GET", `/v1/pools/${pool}`)).json();
      expect(shown).toMatchObject({
        steeringSequence: table.sequence,
        routers: [{ router: "r1", live: true, ready: true, acknowledged: table.sequence, lagging: false }],
      });
    });
    socket.close();
  });

  it.each([
    [`/v1/pools/${OTHER_POOL}/steering`, "router", 403, "pool-denied"],
    ["/v1/pools/NO/steering", "router", 400, "input-invalid"],
    [`/v1/pools/${pool}/steering`, "host", 403, "role-denied"],
    [`/v1/pools/${pool}/connect`, "router", 403, "role-denied"],
    [`/v1/ips/${IP}/connect`, "router", 403, "role-denied"],
  ] as const)("[WK17] to %s as a %s is refused: %i %s", async (path, role, status, code) => {
    expect(await codeOf(await connect(path, role))).toEqual({ status, code });
  });

  it("[WK17] without an upgrade is told that one is required", async () => {
    const token = await tokenFor({ role: "router", subject: "r1", pools: [pool] });
    const response = await ask(`/v1/pools/${pool}/steering`, {
      headers: { authorization: `Bearer ${token}` },
    });
    expect(await codeOf(response)).toEqual({ status: 426, code: "upgrade-required" });
  });

  it.each([
    ["steering", "router", "ipshard-router", "ipshard-host"],
    ["connect", "host", "ipshard-host", "ipshard-router"],
  ] as const)(
    "[WK17] to %s carries the name in its token, and no other name",
    async (path, role, own, other) => {
      const seen: Headers[] = [];
      const spied = {
        ...environment,
        EGRESS_POOL: {
          getByName: () => ({
            fetch: async (request: Request) => {
              seen.push(request.headers);
              return new Response(null, { status: 204 });
            },
          }),
        } as never,
      };
      const claimed = { "ipshard-host": "somebody-else", "ipshard-router": "somebody-else" };
      await connect(`/v1/pools/${pool}/${path}`, role, claimed, spied);
      expect(seen[0]?.get(own)).toBe("r1");
      expect(seen[0]?.has(other)).toBe(false);
      expect(seen[0]?.has("authorization")).toBe(false);
    },
  );
});

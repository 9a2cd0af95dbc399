import { beforeAll, describe, expect, it } from "vitest";
import { administer, ask, codeOf, tokenFor } from "./edge.ts";

const DENIED = { status: 403, code: "pool-denied" };
const MINE = "held-mine";
const THEIRS = "held-theirs";
const MY_IP = "203.0.113.201";
const THEIR_IP = "203.0.113.202";

beforeAll(async () => {
  for (const [pool, ip] of [
    [MINE, MY_IP],
    [THEIRS, THEIR_IP],
  ]) {
    await administer("PUT", `/v1/pools/${pool}`, {});
    await administer("PUT", `/v1/pools/${pool}/ips/${ip}`);
    for (const host of ["shared-host", `host-of-${pool}`]) await enlist(pool!, host);
  }
});

async function enlist(pool: string, host: string): Promise<void> {
  const token = await tokenFor({ role: "host", subject: host, pools: [pool] });
  const headers = { authorization: `Bearer ${token}`, upgrade: "websocket" };
  const { webSocket } = await ask(`/v1/pools/${pool}/connect`, { headers });
  webSocket!.accept();
  const enlisted = new Promise((resolve) => {
    webSocket!.addEventListener("message", resolve, { once: true });
  });
  const message = { type: "enlist", version: 1, instance: `of-${host}`, gateway: "http://h.gateway" };
  webSocket!.send(JSON.stringify(message));
  await enlisted;
}

async function asked(method: string, path: string, body: unknown, pools = [MINE]): Promise<Response> {
  const token = await tokenFor({ role: "admin", subject: "held", pools });
  const headers: Record<string, string> = { authorization: `Bearer ${token}` };
  if (body !== undefined) headers["content-type"] = "application/json";
  return ask(path, { method, headers, ...(body === undefined ? {} : { body: JSON.stringify(body) }) });
}

describe("an administrator whose token names pools", () => {
  it.each([
    ["GET", `/v1/pools/${THEIRS}`, undefined],
    ["PUT", `/v1/pools/${THEIRS}`, {}],
    ["PUT", `/v1/pools/held-not-made`, {}],
    ["PUT", `/v1/pools/${encodeURIComponent("../x")}`, {}],
    ["GET", `/v1/pools/%68eld-theirs`, undefined],
    ["GET", `/v1/pools/${THEIRS}/ips`, undefined],
    ["PUT", `/v1/pools/${THEIRS}/ips/203.0.113.203`, {}],
    ["DELETE", `/v1/pools/${THEIRS}/ips/${THEIR_IP}`, undefined],
    ["GET", `/v1/pools/${THEIRS}/hosts`, undefined],
    ["GET", `/v1/ips/${THEIR_IP}`, undefined],
  ])("[ID6] is refused %s %s", async (method, path, body) => {
    expect(await codeOf(await asked(method, path, body))).toEqual(DENIED);
    expect(await codeOf(await asked(method, path, body, []))).toEqual(DENIED);
  });

  it.each([`${MINE}-too`, `my-${MINE}`, MINE.slice(0, -1)])(
    "[ID5] [ID6] is refused %s, whose name is only like its own",
    async (pool) => {
      expect(await codeOf(await asked("GET", `/v1/pools/${pool}`, undefined))).toEqual(DENIED);
      expect(await codeOf(await asked("PUT", `/v1/pools/${pool}`, {}))).toEqual(DENIED);
    },
  );

  it("[ID6] changed nothing by it", async () => {
    const response = await administer("GET", `/v1/pools/${THEIRS}`);
    const { ips } = await response.json<{ ips: { ip: string }[] }>();
    expect(ips.map(({ ip }) => ip)).toEqual([THEIR_IP]);
    expect((await administer("GET", "/v1/pools/held-not-made")).status).toBe(404);
  });

  it.each([
    ["GET", `/v1/pools/${MINE}`, undefined],
    ["PUT", `/v1/pools/${MINE}`, {}],
    ["GET", `/v1/pools/${MINE}/ips`, undefined],
    ["PUT", `/v1/pools/${MINE}/ips/${MY_IP}`, {}],
    ["GET", `/v1/pools/${MINE}/hosts`, undefined],
    ["GET", `/v1/ips/${MY_IP}`, undefined],
    ["GET", "/v1/edge", undefined],
  ])("[ID6] may %s %s", async (method, path, body) => {
    expect((await asked(method, path, body)).status).toBe(200);
  });

  it("[ID6] sees its own pools alone, in lists and of a host", async () => {
    expect(await (await asked("GET", "/v1/pools", undefined)).json()).toEqual({ pools: [MINE] });
    expect(await (await asked("GET", "/v1/pools", undefined, [])).json()).toEqual({ pools: [] });
    const every = await (await asked("GET", "/v1/pools", undefined, ["*"])).json<{ pools: string[] }>();
    expect(every.pools).toEqual(expect.arrayContaining([MINE, THEIRS]));
    const shown = await (
      await asked("GET", "/v1/hosts/shared-host", undefined)
    ).json<{ pools: { pool: string }[] }>();
    expect(shown.pools.map(({ pool }) => pool)).toEqual([MINE]);
    const unknown = await asked("GET", `/v1/hosts/host-of-${THEIRS}`, undefined);
    expect(await codeOf(unknown)).toEqual({ status: 404, code: "host-unknown" });
  });

  it("[ID6] gets no address of another pool by asking for it", async () => {
    const taken = await asked("PUT", `/v1/pools/${MINE}/ips/${THEIR_IP}`, {});
    expect(await codeOf(taken)).toEqual({ status: 409, code: "ip-elsewhere" });
  });
});

/** Who may copy an edge, and what is passed on of what the process beside it answers. */
import { expect, it, vi } from "vitest";
import { problemReply } from "../../src/wire/problem-response.ts";
import type { Environment } from "../../src/worker/runtime/environment.ts";
import { ask, codeOf, environment, tokenFor } from "./edge.ts";

const LIST = "/v1/edge/copy";
const DATABASE = "/v1/edge/copy/database?path=edge%2Fstorage%2Fone.sqlite";
const LISTING = {
  atMs: 1_800_000_000_000,
  secrets: [{ path: "keys/edge.json", version: "a digest" }],
  databases: [{ path: "edge/storage/one.sqlite", version: "1", bytes: 4_096 }],
};

/** An edge with a process beside it that answers so. */
function besides(answer: (target: string, key: string | null) => Response): Environment {
  const copies = {
    fetch: async (url: string, { headers }: { headers: { authorization: string } }) =>
      answer(url.replace("http://copies", ""), headers.authorization),
  };
  return { ...environment, SELF_HOSTED: "1", COPIES: copies as unknown as Fetcher, COPIES_KEY: "a key" };
}

async function asAdmin(path: string, env: Environment, pools: readonly string[] = ["*"]): Promise<Response> {
  const token = await tokenFor({ role: "admin", pools });
  return ask(path, { headers: { authorization: `Bearer ${token}` } }, env);
}

it("[OC10] only an administrator of every pool is answered, and the process is shown the key of its start", async () => {
  const seen: [string, string | null][] = [];
  const env = besides((target, key) => {
    seen.push([target, key]);
    return target.startsWith("/files") ? Response.json(LISTING) : new Response("bytes");
  });
  for (const path of [LIST, DATABASE]) {
    expect(await codeOf(await ask(path, {}, env))).toEqual({ status: 401, code: "token-missing" });
    expect(await codeOf(await asAdmin(path, env, ["eu"]))).toEqual({ status: 403, code: "pool-denied" });
    for (const role of ["client", "host", "router"] as const) {
      const headers = { authorization: `Bearer ${await tokenFor({ role, pools: ["*"] })}` };
      expect(await codeOf(await ask(path, { headers }, env))).toEqual({ status: 403, code: "role-denied" });
    }
  }
  expect(seen).toEqual([]);
  expect(await (await asAdmin(`${LIST}?heldAtMs=17`, env)).json()).toEqual(LISTING);
  expect(await (await asAdmin(DATABASE, env)).text()).toBe("bytes");
  expect(seen).toEqual([
    ["/files?held=17", "Bearer a key"],
    ["/database?path=edge%2Fstorage%2Fone.sqlite", "Bearer a key"],
  ]);
});

it("[OC10] a refusal of the process is passed on, and a process that is gone is a refusal", async () => {
  const busy = besides(() => {
    const { status, headers, body } = problemReply({ code: "copy-under-way" });
    return new Response(body, { status, headers });
  });
  const refusal = await asAdmin(DATABASE, busy);
  expect(refusal.headers.get("retry-after")).toBe("1");
  expect(await codeOf(refusal)).toEqual({ status: 429, code: "copy-under-way" });
  const gone = besides(() => {
    throw new Error("connection refused");
  });
  for (const path of [LIST, DATABASE]) {
    expect(await codeOf(await asAdmin(path, gone))).toMatchObject({ code: "control-plane-unavailable" });
    // On Cloudflare there is none.
    expect(await codeOf(await asAdmin(path, environment))).toEqual({ status: 404, code: "route-unknown" });
  }
});

it("[OC9] [MT8] the age of the standby's copy is told where there is a standby", async () => {
  vi.spyOn(console, "warn").mockImplementation(() => {});
  const told = async (ageMs: number | null): Promise<string> =>
    (
      await asAdmin(
        "/metrics",
        besides(() => Response.json({ ageMs })),
      )
    ).text();
  expect(await told(12_345)).toContain("ipshard_edge_standby_age_seconds 12.345\n");
  expect(await told(null)).not.toContain("ipshard_edge_standby_age_seconds");
});

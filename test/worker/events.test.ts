/** `/v1/events`: what happened to a pool and to an address, for administrators of the pool alone. */
import { describe, expect, it } from "vitest";
import type { Identity } from "../../src/core/identity.ts";
import { ask, codeOf, freshNames, tokenFor } from "./edge.ts";

interface Event {
  readonly id: string;
  readonly at: string;
  readonly kind: string;
  readonly ip: string | null;
  readonly by: unknown;
  readonly before: unknown;
  readonly after: unknown;
}

let ipCount = 0;

async function administer(method: string, path: string, body?: object, claims: Partial<Identity> = {}) {
  const token = await tokenFor({ role: "admin", subject: "ada", tokenId: "t-1", pools: ["*"], ...claims });
  const headers: Record<string, string> = { authorization: `Bearer ${token}` };
  if (body !== undefined) headers["content-type"] = "application/json";
  return ask(path, { method, headers, ...(body === undefined ? {} : { body: JSON.stringify(body) }) });
}

async function newPool() {
  const { pool } = freshNames();
  ipCount += 1;
  const ip = `198.18.33.${ipCount}`;
  await administer("PUT", `/v1/pools/${pool}`, {});
  await administer("PUT", `/v1/pools/${pool}/ips/${ip}`, {});
  await administer("PUT", `/v1/pools/${pool}/ips/${ip}`, { tags: ["blue"] });
  await administer("PUT", `/v1/pools/${pool}/policy`, { version: 7 });
  return { pool, ip };
}

async function eventsOf(query: string, claims: Partial<Identity> = {}): Promise<Event[]> {
  const answer = await administer("GET", `/v1/events?${query}`, undefined, claims);
  expect([answer.status, answer.headers.get("cache-control")]).toEqual([200, "no-store"]);
  return (await answer.json<{ events: Event[] }>()).events;
}

describe("what happened", () => {
  it("[EV6] [EV4] is told of a pool, newest first, and page by page", async () => {
    const { pool } = await newPool();
    const all = await eventsOf(`pool=${pool}`);
    expect(all.map(({ kind }) => kind)).toEqual([
      "change-refused",
      "address-changed",
      "address-added",
      "pool-made",
    ]);
    expect(all[1]).toMatchObject({
      by: { subject: "ada", tokenId: "t-1" },
      before: { tags: [] },
      after: { tags: ["blue"] },
    });
    expect(Math.abs(Date.parse(all[0]!.at) - Date.now())).toBeLessThan(60_000);
    const read: Event[] = [];
    for (let before = ""; read.length < all.length; before = `&before=${read.at(-1)!.id}`) {
      read.push(...(await eventsOf(`pool=${pool}&limit=1${before}`)));
    }
    expect(read).toEqual(all);
    expect(await eventsOf(`pool=${pool}&kind=pool-made,address-added`)).toEqual(all.slice(2));
    expect(await eventsOf(`pool=${pool}&since=${encodeURIComponent(all[0]!.at)}`)).toContainEqual(all[0]);
    expect(await eventsOf(`pool=${pool}&since=${Date.now() + 60_000}`)).toEqual([]);
  });

  it("[EV6] is told of an address, with what its pool says of it", async () => {
    const { pool, ip } = await newPool();
    const events = await eventsOf(`ip=${ip}`, { pools: [pool] });
    expect(events.map(({ kind }) => kind)).toEqual(["address-changed", "address-added"]);
    expect(events.every((event) => event.ip === ip)).toBe(true);
  });

  it("[EV6] is for administrators of the pool", async () => {
    const { pool, ip } = await newPool();
    for (const query of [`pool=${pool}`, `ip=${ip}`]) {
      const path = `/v1/events?${query}`;
      const denied = await administer("GET", path, undefined, { pools: ["other"] });
      expect(await codeOf(denied)).toEqual({ status: 403, code: "pool-denied" });
      for (const role of ["client", "host", "router"] as const) {
        const other = await administer("GET", path, undefined, { role });
        expect((await codeOf(other)).code).toBe("role-denied");
      }
    }
    const codes = ["pool=never-made", "ip=198.18.33.250"].map(async (query) =>
      codeOf(await administer("GET", `/v1/events?${query}`)),
    );
    expect((await Promise.all(codes)).map(({ code }) => code)).toEqual(["pool-unknown", "ip-unknown"]);
  });

  it.each([
    "",
    "pool=p&ip=198.18.33.1",
    "pool=A",
    "ip=localhost",
    "pool=p&limit=0",
    "pool=p&limit=201",
    "pool=p&before=7",
    "pool=p&since=yesterday",
    "pool=p&kind=lease-lost,",
    "pool=p&host=A",
  ])("[EV6] is not told for %s", async (query) => {
    const answer = await administer("GET", `/v1/events?${query}`);
    expect(await codeOf(answer)).toEqual({ status: 400, code: "input-invalid" });
  });
});

/** What strangers learn of the addresses of pools, and what their questions cost. */
import { describe, expect, it } from "vitest";
import { FACTS_FRESH_MS, FactsCache, type LoadFacts } from "../../src/worker/hosts/facts-cache.ts";
import { edgeCounters } from "../../src/worker/runtime/control-plane.ts";
import { ok, refuse } from "../../src/core/outcome.ts";
import { administer, ask, codeOf, freshNames } from "./edge.ts";

interface Listed {
  readonly version: number;
  readonly syncToken: string;
  readonly creationTime: string;
  readonly prefixes: readonly Record<string, string>[];
}

let addressCount = 0;
const fresh = (): string => `198.18.9.${(addressCount += 1)}`;

/** A pool with these addresses. */
async function poolWith(published: boolean, addresses: Readonly<Record<string, object>>): Promise<string> {
  const { pool } = freshNames();
  await administer("PUT", `/v1/pools/${pool}`, { settings: { published } });
  for (const [ip, changes] of Object.entries(addresses)) {
    expect((await administer("PUT", `/v1/pools/${pool}/ips/${ip}`, changes)).status).toBe(200);
  }
  return pool;
}

const listOf = async (pool: string): Promise<Listed> =>
  (await ask(`/.well-known/egress-ips/${pool}.json`)).json<Listed>();

describe("published addresses", () => {
  it("[PF1] [WK1] are told without a token, of pools that are published alone", async () => {
    const [open, hidden] = [fresh(), fresh()];
    const pool = await poolWith(true, { [open]: {} });
    const other = await poolWith(false, { [hidden]: { country: "de" } });
    const all = await (await ask("/.well-known/egress-ips.json")).text();
    expect(all).toContain(open);
    for (const secret of [hidden, other]) expect(all).not.toContain(secret);
    expect(await (await ask("/.well-known/geofeed.csv")).text()).not.toContain(hidden);
    // One that is not published is like one that is not there.
    const refusals = await Promise.all(
      [other, "nowhere"].flatMap((name) =>
        [`egress-ips/${name}.json`, `geofeed/${name}.csv`].map(async (path) => {
          const response = await ask(`/.well-known/${path}`);
          return [response.status, await response.text()];
        }),
      ),
    );
    expect(new Set(refusals.map((refusal) => JSON.stringify(refusal))).size).toBe(1);
    expect(refusals[0]).toEqual([404, expect.stringContaining("pool-unknown")]);
    // Taken back, it is gone.
    await administer("PUT", `/v1/pools/${pool}`, { settings: { published: false } });
    expect(await codeOf(await ask(`/.well-known/egress-ips/${pool}.json`))).toEqual({
      status: 404,
      code: "pool-unknown",
    });
  });

  it("[PF1] a pool of which nothing is said is not published", async () => {
    const { pool } = freshNames();
    await administer("PUT", `/v1/pools/${pool}`, {});
    expect((await ask(`/.well-known/egress-ips/${pool}.json`)).status).toBe(404);
  });

  it("[PF2] are those that the Internet sees, IPv4 first, with what is coming and what is going", async () => {
    const [mapped, idle, plain] = [fresh(), fresh(), fresh()];
    const six = "2001:db8:77::1";
    const pool = await poolWith(true, {
      [six]: {},
      [mapped]: { advertised: "203.0.113.77", country: "de" },
      [idle]: {},
      [plain]: { country: "FR" },
    });
    await administer("POST", `/v1/pools/${pool}/ips/${idle}/drain`);
    const { version, prefixes, creationTime } = await listOf(pool);
    expect(version).toBe(1);
    expect(Number.isNaN(Date.parse(creationTime))).toBe(false);
    const added = expect.stringMatching(/^\d{4}-.*Z$/);
    const common = { pool, state: "active", added };
    expect(prefixes).toEqual([
      { ipv4Prefix: `${idle}/32`, ...common, state: "drained" },
      { ipv4Prefix: `${plain}/32`, ...common, country: "FR" },
      { ipv4Prefix: "203.0.113.77/32", ...common, country: "DE" },
      { ipv6Prefix: `${six}/128`, ...common },
    ]);
    expect(JSON.stringify(prefixes)).not.toContain(`"${mapped}`);
    await administer("DELETE", `/v1/pools/${pool}/ips/${plain}`);
    const left = (await listOf(pool)).prefixes.find(({ ipv4Prefix }) => ipv4Prefix === `${plain}/32`);
    // Nothing of it was leased, so it may be gone already.
    expect([undefined, "retiring"]).toContain(left?.["state"]);
  });

  it("[PF3] are a geofeed: upper-case countries, and no line where none is known", async () => {
    const [german, unknown] = [fresh(), fresh()];
    const pool = await poolWith(true, {
      [german]: { country: "de" },
      [unknown]: {},
      "2001:db8:78::1": { country: "nl" },
    });
    const response = await ask(`/.well-known/geofeed/${pool}.csv`);
    expect(response.headers.get("content-type")).toBe("text/csv; charset=utf-8");
    const [comment, ...lines] = (await response.text()).split("\r\n");
    expect(comment).toMatch(/^#/);
    expect(lines).toEqual([`${german}/32,DE,,,`, "2001:db8:78::1/128,NL,,,", ""]);
  });

  it("[PF4] have a tag that changes with them alone, by which nothing is sent twice", async () => {
    const pool = await poolWith(true, { [fresh()]: { country: "de" } });
    for (const path of [`/.well-known/egress-ips/${pool}.json`, `/.well-known/geofeed/${pool}.csv`]) {
      const first = await ask(path);
      const tag = first.headers.get("etag")!;
      expect(first.headers.get("cache-control")).toBe("public, max-age=60");
      expect(first.headers.get("access-control-allow-origin")).toBe("*");
      for (const known of [tag, tag.replace("W/", ""), `"other", ${tag}`, "*"]) {
        const again = await ask(path, { headers: { "if-none-match": known } });
        expect([again.status, await again.text(), again.headers.get("etag")]).toEqual([304, "", tag]);
      }
      expect((await ask(path, { headers: { "if-none-match": '"other"' } })).status).toBe(200);
      await administer("PUT", `/v1/pools/${pool}/ips/${fresh()}`, { country: "at" });
      const changed = await ask(path, { headers: { "if-none-match": tag } });
      expect([changed.status, changed.headers.get("etag") === tag]).toEqual([200, false]);
    }
    const head = await ask(`/.well-known/geofeed/${pool}.csv`, { method: "HEAD" });
    expect([head.status, await head.text()]).toEqual([200, ""]);
  });

  it("[PF4] questions of strangers, be they about pools that there are or not, ask no object again", async () => {
    const pool = await poolWith(true, { [fresh()]: {} });
    await (await ask("/.well-known/egress-ips.json")).text();
    const before = edgeCounters.controlPlaneCalls;
    const paths = ["egress-ips.json", "geofeed.csv", `egress-ips/${pool}.json`, "egress-ips/a/b.json"];
    const names = Array.from({ length: 50 }, (_, at) => `egress-ips/made-up-${at}.json`);
    for (const path of [...paths, ...names]) await (await ask(`/.well-known/${path}`)).text();
    expect(edgeCounters.controlPlaneCalls).toBe(before);
  });
});

describe("the copy of an isolate", () => {
  const pools = [{ pool: "eu", addresses: [] }];

  it("[PF4] is asked for once by many, and again when it is old", async () => {
    const cache = new FactsCache();
    let nowMs = 1_000;
    let askedCount = 0;
    const load: LoadFacts = async () => {
      askedCount += 1;
      await new Promise((resolve) => {
        setTimeout(resolve, 10);
      });
      return ok(pools);
    };
    const found = await Promise.all(Array.from({ length: 20 }, () => cache.find(() => nowMs, load)));
    expect(found.every((one) => one.ok && one.value.asOfMs === 1_000)).toBe(true);
    expect(askedCount).toBe(1);
    nowMs += FACTS_FRESH_MS - 1;
    await cache.find(() => nowMs, load);
    expect(askedCount).toBe(1);
    nowMs += 1;
    await cache.find(() => nowMs, load);
    expect(askedCount).toBe(2);
    // A clock that was set back makes nothing last.
    nowMs -= 10 * FACTS_FRESH_MS;
    await cache.find(() => nowMs, load);
    expect(askedCount).toBe(3);
  });

  it("[PF4] serves on while nobody answers, who is not asked again for a while", async () => {
    const cache = new FactsCache();
    let nowMs = 0;
    let isAway = true;
    let askedCount = 0;
    const load: LoadFacts = async () => {
      askedCount += 1;
      return isAway ? refuse("control-plane-unavailable") : ok(pools);
    };
    const find = () => cache.find(() => nowMs, load);
    expect(await find()).toEqual({ ok: false, refusal: "control-plane-unavailable" });
    isAway = false;
    nowMs += 9_999;
    expect((await find()).ok).toBe(false);
    nowMs += 1;
    expect((await find()).ok).toBe(true);
    isAway = true;
    nowMs += 10 * FACTS_FRESH_MS;
    expect(await find()).toMatchObject({ ok: true, value: { asOfMs: 10_000 } });
    expect(await find()).toMatchObject({ ok: true });
    expect(askedCount).toBe(3);
  });

  it("[PF4] is asked for anew after a change by way of this isolate", async () => {
    const cache = new FactsCache();
    let askedCount = 0;
    const load: LoadFacts = async () => {
      askedCount += 1;
      return ok(pools);
    };
    for (let at = 0; at < 3; at += 1) {
      cache.doubt();
      await cache.find(() => 5, load);
      await cache.find(() => 5, load);
    }
    expect(askedCount).toBe(3);
  });
});

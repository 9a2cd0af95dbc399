/** Leaked sockets are leaked ports: after many requests that end in every way, none is held. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { Agent, request } from "undici";
import { Cluster, EGRESS_IP, kernelConnectionsFrom, until } from "./cluster.ts";

const REQUEST_COUNT = 50_000;
const LANE_COUNT = 64;
const SEED = 20_261_123;

let cluster: Cluster;
const client = new Agent({ connections: LANE_COUNT });

beforeAll(async () => {
  cluster = await Cluster.start({ hosts: ["h1", "h2"] });
});
afterAll(async () => {
  await client.destroy();
  await cluster?.stop();
});

/** A small seeded generator (mulberry32), so that a failing mix can be repeated. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

test(
  "50,000 requests with random aborts by client and origin end with nothing held",
  { timeout: 600_000 },
  async () => {
    const random = seeded(SEED);
    const headers = await cluster.clientHeaders();
    const tally = { whole: 0, clientAborted: 0, originAborted: 0 };
    let left = REQUEST_COUNT;

    const whole = async (): Promise<void> => {
      const reply = await request(cluster.through(cluster.originUrl("/seen")), {
        headers,
        dispatcher: client,
      });
      const body = await reply.body.text();
      expect(reply.statusCode, body).toBe(200);
      tally.whole += 1;
    };
    const clientAborts = async (): Promise<void> => {
      const abort = new AbortController();
      const path = random() < 0.5 ? "/download?bytes=500000" : "/trickle";
      const options = { headers, dispatcher: client, signal: abort.signal };
      const timer = setTimeout(() => abort.abort(), random() * 20);
      try {
        const reply = await request(cluster.through(cluster.originUrl(path)), options);
        await reply.body.text();
      } catch {
        tally.clientAborted += 1;
      }
      clearTimeout(timer);
    };
    const originAborts = async (): Promise<void> => {
      const url =
        random() < 0.5 ? cluster.originUrl("/reset") : `http://127.0.0.20:${cluster.origin.closingPort}/`;
      try {
        const reply = await request(cluster.through(url), { headers, dispatcher: client });
        await reply.body.text();
        expect(reply.statusCode).toBe(502);
        tally.originAborted += 1;
      } catch (fault) {
        expect((fault as { code?: string }).code).toBe("UND_ERR_SOCKET");
        tally.originAborted += 1;
      }
    };
    const lane = async (): Promise<void> => {
      while (left > 0) {
        left -= 1;
        const draw = random();
        if (draw < 0.9) await whole();
        else if (draw < 0.95) await clientAborts();
        else await originAborts();
      }
    };
    await Promise.all(Array.from({ length: LANE_COUNT }, lane));
    expect(tally.whole).toBeGreaterThan(REQUEST_COUNT * 0.88);
    expect(tally.clientAborted).toBeGreaterThan(REQUEST_COUNT * 0.02);
    expect(tally.originAborted).toBeGreaterThan(REQUEST_COUNT * 0.04);

    await until("the binders hold nothing", async () => {
      for (const host of ["h1", "h2"]) {
        const { addresses } = await cluster.status(host);
        expect(addresses).toHaveLength(1);
        if (addresses.some((address) => address.heldCount > 0)) return false;
      }
      return true;
    });
    await until("the kernel holds nothing", async () => (await kernelConnectionsFrom(EGRESS_IP)) === 0);
  },
);

/**
 * Smuggled, cut off and confused: what is said to a proxy is refused by name or passed on exactly, and
 * what follows on the connection is in step, or nothing follows. `npm run fuzz -- requests` says more.
 */
import { randomInt } from "node:crypto";
import { afterAll, beforeAll, expect, test } from "vitest";
import { runHttpCorpus, runSocksCorpus, type TestedProxy } from "../fuzz/proxy-corpus.ts";
import { type RecordingOrigin, startRecordingOrigin } from "../fuzz/recording-origin.ts";
import { eventually } from "./gateway-rig.ts";
import { type ProxyRig, startProxyRig } from "./proxy-rig.ts";

const HTTP_COUNT = 800;
const SOCKS_COUNT = 300;

let rig: ProxyRig;
let origin: RecordingOrigin;
let proxy: TestedProxy;

beforeAll(async () => {
  rig = await startProxyRig();
  origin = await startRecordingOrigin("127.0.0.21");
  proxy = { host: "127.0.0.1", port: rig.proxyPort, counts: async () => new Map(rig.counts) };
});
afterAll(async () => {
  origin.close();
  await rig.close();
});

/** What is left of clients and tunnels; both have to be told of their ends first. */
async function untilNothingIsLeft(): Promise<void> {
  await eventually(() => rig.proxy.clientCount === 0, "no client left");
  await eventually(() => rig.idle.size === 0, "no tunnel left");
}

test(
  `[PX10] ${HTTP_COUNT} odd requests are refused or passed on as they are`,
  { timeout: 240_000 },
  async () => {
    const seed = randomInt(2 ** 31);
    const { findings, forwardedCount } = await runHttpCorpus(proxy, origin, seed, HTTP_COUNT);
    expect(findings, `seed ${seed}`).toEqual([]);
    expect(forwardedCount).toBeGreaterThan(HTTP_COUNT / 4);
    expect(rig.faults).toEqual([]);
    await untilNothingIsLeft();
  },
);

test(
  `[SX3] ${SOCKS_COUNT} odd dialogues are refused or lead where they say`,
  { timeout: 240_000 },
  async () => {
    const seed = randomInt(2 ** 31);
    const token = await rig.tokenFor("client");
    const { findings, forwardedCount } = await runSocksCorpus(proxy, origin, token, seed, SOCKS_COUNT);
    expect(findings, `seed ${seed}`).toEqual([]);
    expect(forwardedCount).toBeGreaterThan(SOCKS_COUNT / 20);
    expect(rig.faults).toEqual([]);
    await untilNothingIsLeft();
  },
);

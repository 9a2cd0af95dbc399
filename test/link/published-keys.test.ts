/** Keys of the edge: fetched, kept, and asked for again when a stranger's token comes. */
import { afterEach, beforeEach, expect, onTestFinished, test } from "vitest";
import { PublishedKeys, type PublishedKeysOptions } from "../../src/link/published-keys.ts";
import type { JWK } from "jose";
import { generateKey, type KeySet, publicPart } from "../../src/wire/keys.ts";
import { signToken } from "../../src/wire/tokens.ts";
import { LoopbackEdge, recordingLog, until } from "./loopback-edge.ts";

let edge: LoopbackEdge;
let key: JWK;

beforeEach(async () => {
  edge = await LoopbackEdge.start();
  key = await generateKey("edge");
  edge.keys = { keys: [publicPart(key)] };
});

afterEach(async () => {
  await edge.stop();
});

function keysOf(options: Partial<PublishedKeysOptions> = {}) {
  const kept: KeySet[] = [];
  const keys = new PublishedKeys({
    edge: edge.url,
    kept: null,
    keep: (set) => kept.push(set),
    log: recordingLog().log,
    ...options,
  });
  onTestFinished(() => keys.stop());
  return { keys, kept };
}

async function gatewayToken(by: JWK): Promise<string> {
  const expiresAtMs = Date.now() + 600_000;
  return signToken({ role: "gateway", subject: "c", pools: ["default"], expiresAtMs }, by);
}

test("[EL4] keys are fetched at the start and kept for the next", async () => {
  const { keys, kept } = keysOf();
  keys.start();
  await until("they are kept", () => kept.length === 1);
  expect(kept[0]).toEqual(edge.keys);
  expect(await keys.verify(await gatewayToken(key), Date.now())).toMatchObject({ ok: true });
});

test("[EL4] with the edge away, the kept keys verify tokens", async () => {
  const { keys } = keysOf({ kept: edge.keys });
  await edge.stop();
  keys.start();
  expect(await keys.verify(await gatewayToken(key), Date.now())).toMatchObject({ ok: true });
  const stranger = await gatewayToken(await generateKey("edge"));
  expect(await keys.verify(stranger, Date.now())).toEqual({ ok: false, refusal: "token-signature-invalid" });
  await edge.restart();
});

test("[EL4] an edge that comes later is asked until it answers", async () => {
  await edge.stop();
  const { keys, kept } = keysOf();
  keys.start();
  await edge.restart();
  await until("they are kept", () => kept.length === 1);
  expect(kept[0]).toEqual(edge.keys);
});

test("[EL4] a token with a new key makes the host ask for it, but strangers do not make it ask often", async () => {
  const { keys, kept } = keysOf({ kept: edge.keys });
  const newKey = await generateKey("edge");
  edge.keys = { keys: [publicPart(key), publicPart(newKey)] };
  const token = await gatewayToken(newKey);
  const verified = await Promise.all([keys.verify(token, Date.now()), keys.verify(token, Date.now())]);
  expect(verified.map(({ ok }) => ok)).toEqual([true, true]);
  expect(edge.keyRequestCount).toBe(1);
  expect(kept.length).toBe(1);
  const strange = await gatewayToken(await generateKey("edge"));
  for (let count = 0; count < 20; count += 1) {
    expect((await keys.verify(strange, Date.now())).ok).toBe(false);
  }
  expect(edge.keyRequestCount).toBe(1);
});

test("[EL4] after its interval a strange token is a reason to ask once more", async () => {
  const { keys } = keysOf({ kept: edge.keys, strangerIntervalMs: 0 });
  const strange = await gatewayToken(await generateKey("edge"));
  await keys.verify(strange, Date.now());
  await keys.verify(strange, Date.now());
  expect(edge.keyRequestCount).toBe(2);
  // What is no token of an edge or an issuer at all is never worth a question.
  await keys.verify("not.a.token", Date.now());
  await keys.verify("x", Date.now());
  expect(edge.keyRequestCount).toBe(2);
});

test("[EL4] an edge that answers with something else changes nothing", async () => {
  const { keys, kept } = keysOf({ kept: edge.keys, strangerIntervalMs: 0 });
  edge.keys = { nonsense: true } as unknown as KeySet;
  await keys.verify(await gatewayToken(await generateKey("edge")), Date.now());
  expect(edge.keyRequestCount).toBe(1);
  expect(kept).toEqual([]);
  expect(await keys.verify(await gatewayToken(key), Date.now())).toMatchObject({ ok: true });
});

import { readFile, stat, writeFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { issueToken, toIdentity } from "../../src/cli/credentials/issue-token.ts";
import { readDuration } from "../../src/process/command-options.ts";
import { ensureKeys, issuerKeySet, readKey } from "../../src/cli/credentials/key-files.ts";

import { StatePaths } from "../../src/cli/state-paths.ts";
import { ensureToken } from "../../src/cli/credentials/token-files.ts";
import { generateKey, publicPart } from "../../src/wire/keys.ts";
import { TokenVerifier } from "../../src/wire/tokens.ts";
import { temporaryDirectory } from "./processes.ts";

const NOW_MS = Date.UTC(2026, 10, 23);
const DAY_MS = 86_400_000;
const CLIENT = { role: "client", name: "client", pools: ["default"] } as const;

test("[CI2] keys are made once, for their owner's eyes alone, and never replaced", async () => {
  const state = new StatePaths(await temporaryDirectory());
  // Two at once: one makes them, both see the same.
  const [one, other] = await Promise.all([ensureKeys(state), ensureKeys(state)]);
  expect(other).toEqual(one);
  expect(await ensureKeys(state)).toEqual(one);
  for (const kind of ["issuer", "edge"] as const) {
    expect((await stat(state.keyFile(kind))).mode & 0o777).toBe(0o600);
    expect(one[kind].kid).toMatch(new RegExp(`^${kind}:`));
  }
});

test("[CI2] only the public part of the issuer's key is told", async () => {
  const state = new StatePaths(await temporaryDirectory());
  const told = JSON.parse(await issuerKeySet(state));
  expect(told).toEqual({ keys: [publicPart(await readKey(state, "issuer"))] });
  expect(told.keys[0]).not.toHaveProperty("d");
});

test("[CI2] a key that is missing or no key is named", async () => {
  const state = new StatePaths(await temporaryDirectory());
  await expect(readKey(state, "issuer")).rejects.toMatchObject({ code: "key-missing" });
  const { edge } = await ensureKeys(state);
  for (const text of ["{", "null", JSON.stringify(edge), JSON.stringify(publicPart(edge))]) {
    await writeFile(state.keyFile("issuer"), text);
    await expect(readKey(state, "issuer")).rejects.toMatchObject({ code: "key-malformed" });
  }
});

test("[CI3] a token says what was asked for, and verifies", async () => {
  const key = await generateKey("issuer");
  const request = { role: "host", name: "h1", pools: ["eu", "us"], ttl: "2h" };
  const verifier = new TokenVerifier({ keys: [publicPart(key)] });
  const verified = await verifier.verify(await issueToken(request, key, NOW_MS), NOW_MS);
  expect(verified).toMatchObject({
    ok: true,
    value: { role: "host", subject: "h1", pools: ["eu", "us"], expiresAtMs: NOW_MS + 7_200_000 },
  });
});

test("[CI3] a router gets a token of its own role", async () => {
  const key = await generateKey("issuer");
  const request = { role: "router", name: "r1", pools: ["eu"], ttl: "30d" };
  const verifier = new TokenVerifier({ keys: [publicPart(key)] });
  const verified = await verifier.verify(await issueToken(request, key, NOW_MS), NOW_MS);
  expect(verified).toMatchObject({ ok: true, value: { role: "router", subject: "r1", pools: ["eu"] } });
});

test("[CI3] without pools a client gets the default one and an administrator all", () => {
  const request = { name: "a", pools: [], ttl: "1d" };
  expect(toIdentity({ ...request, role: "client" }, NOW_MS).pools).toEqual(["default"]);
  expect(toIdentity({ ...request, role: "admin" }, NOW_MS).pools).toEqual(["*"]);
});

test.each([
  [{ role: "gateway" }, "--role"],
  [{ role: "" }, "--role"],
  [{ name: "" }, "--name"],
  [{ name: "Not A Name" }, "--name"],
  [{ pools: ["eu", "../x"] }, "--pool"],
  [{ ttl: "0d" }, "--ttl"],
  [{ ttl: "5" }, "--ttl"],
  [{ ttl: "999ms" }, "--ttl"],
  [{ ttl: "-5d" }, "--ttl"],
  [{ ttl: "1e3d" }, "--ttl"],
  [{ ttl: "99999d" }, "--ttl"],
])("[CI3] %j is refused, naming %s", (wrong, option) => {
  const request = { role: "client", name: "a", pools: ["eu"], ttl: "1d", ...wrong };
  expect(() => toIdentity(request, NOW_MS)).toThrow(
    expect.objectContaining({ code: "option-invalid", message: expect.stringContaining(option) }),
  );
});

test("[CI3] [TK2] [TK11] a client's token may name a tenant and what it permits less, and each has an id", async () => {
  const key = await generateKey("issuer");
  const request = {
    role: "client",
    name: "a",
    pools: ["eu"],
    ttl: "1d",
    tenant: "shop",
    ips: ["192.0.2.1", "2001:db8::1"],
    destinations: ["*.example.com:443"],
    rate: "2.5",
  };
  const verifier = new TokenVerifier({ keys: [publicPart(key)] });
  const verified = await verifier.verify(await issueToken(request, key, NOW_MS), NOW_MS);
  expect(verified).toMatchObject({
    ok: true,
    value: {
      tenant: "shop",
      tokenId: expect.stringMatching(/^[\w-]{12}$/),
      restrictions: { ips: request.ips, destinations: request.destinations, requestsPerSecond: 2.5 },
    },
  });
  // What is short stays short: SOCKS5 has 255 characters for each part of a login.
  expect(
    (await issueToken({ role: "client", name: "me", pools: ["eu"], ttl: "1d" }, key, NOW_MS)).length,
  ).toBeLessThan(320);
});

test.each([
  [{ tenant: "Not A Name" }, "--tenant"],
  [{ ips: ["192.0.2"] }, "--ip"],
  [{ destinations: [""] }, "--destination"],
  [{ destinations: ["https://example.com/"] }, "--destination"],
  [{ rate: "0" }, "--rate"],
  [{ rate: "many" }, "--rate"],
  [{ role: "host", tenant: "shop" }, "--tenant"],
])("[CI3] %j is refused as well, naming %s", (wrong, option) => {
  const request = { role: "client", name: "a", pools: ["eu"], ttl: "1d", ...wrong };
  expect(() => toIdentity(request, NOW_MS)).toThrow(
    expect.objectContaining({ code: "option-invalid", message: expect.stringContaining(option) }),
  );
});

test("[CI3] times are read in their units", () => {
  const bounds = { leastMs: 500, mostMs: 30 * DAY_MS };
  const read = ["500ms", "45s", "10m", "12h", "30d"].map((text) => readDuration("--ttl", text, bounds));
  expect(read).toEqual([500, 45_000, 600_000, 43_200_000, 30 * DAY_MS]);
});

test("[CI10] a kept token stays the same until it nears its end", async () => {
  const state = new StatePaths(await temporaryDirectory());
  const key = await generateKey("issuer");
  const first = await ensureToken(state, CLIENT, key, NOW_MS);
  expect((await stat(first.file)).mode & 0o777).toBe(0o600);
  expect((await readFile(first.file, "utf8")).trim()).toBe(first.token);
  expect(await ensureToken(state, CLIENT, key, NOW_MS + 200 * DAY_MS)).toEqual(first);
  const renewed = await ensureToken(state, CLIENT, key, NOW_MS + 300 * DAY_MS);
  expect(renewed.token).not.toBe(first.token);
});

test("[CI10] a kept token of another key, role or pool, or no token at all, is replaced", async () => {
  const state = new StatePaths(await temporaryDirectory());
  const key = await generateKey("issuer");
  const { file } = await ensureToken(state, CLIENT, key, NOW_MS);
  const replacements = [
    () => ensureToken(state, CLIENT, key, NOW_MS),
    async () => ensureToken(state, CLIENT, await generateKey("issuer"), NOW_MS),
    () => ensureToken(state, { ...CLIENT, pools: ["eu"] }, key, NOW_MS),
    () => ensureToken(state, { ...CLIENT, role: "host" }, key, NOW_MS),
  ];
  let before = "nonsense";
  await writeFile(file, before);
  for (const replace of replacements) {
    const replaced = await replace();
    expect(replaced.token).not.toBe(before);
    before = replaced.token;
  }
});

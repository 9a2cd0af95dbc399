/**
 * Every path that the gateway of a host knows, as its sources have them, with every token that must open
 * nothing. A path that forgets to ask who calls is found here without being named.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { base64url } from "jose";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { Identity, Role } from "../../src/core/identity.ts";
import { DEFAULT_POOL_POLICY } from "../../src/core/pool-policy.ts";
import * as names from "../../src/wire/header-names.ts";
import { generateKey } from "../../src/wire/keys.ts";
import { newTokenId, signToken } from "../../src/wire/tokens.ts";
import { type Rig, startRig } from "./gateway-rig.ts";

const SOURCES = join(import.meta.dirname, "../../src/agent/traffic/gateway");
/** Answers to everybody, whether it can serve. */
const PUBLIC: ReadonlySet<string> = new Set(["/health"]);
const ROLES: readonly Role[] = ["client", "host", "router", "admin", "gateway", "join"];

let rig: Rig;

beforeEach(async () => {
  rig = await startRig();
});
afterEach(() => rig.close());

/** What stands in the sources as a path, by itself or by a name that all share. */
function pathsIn(text: string): string[] {
  const code = text.replaceAll(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, "");
  const literal = [...code.matchAll(/"(\/[\w./-]*)"/g)].map(([, path]) => path!);
  const named = [...code.matchAll(/\b([A-Z]+_PATH)\b/g)].map(
    ([, name]) => (names as unknown as Record<string, string>)[name!] ?? "",
  );
  return [...literal, ...named].filter((path) => path !== "" && path !== "/");
}

function allPaths(): string[] {
  const texts = readdirSync(SOURCES).map((file) => readFileSync(join(SOURCES, file), "utf8"));
  const paths = new Set(texts.flatMap(pathsIn));
  // Below this one each upload has a path of its own.
  return [...paths].map((path) =>
    path === names.UPLOADS_PATH ? `${path}x`.replace(/([^/])x$/, "$1/x") : path,
  );
}

async function codeAt(path: string, token: string | null): Promise<string> {
  const fields =
    token === null ? {} : { "egress-authorization": `Bearer ${token}`, authorization: `Bearer ${token}` };
  const response = await fetch(`${rig.url}${path}`, { headers: fields });
  const body = await response.text();
  return response.status < 400 ? String(response.status) : (JSON.parse(body) as { code: string }).code;
}

async function badTokens(role: Role): Promise<[what: string, token: string, code: RegExp][]> {
  const { issuer, edge } = rig.keys;
  const key = role === "gateway" || role === "join" ? edge : issuer;
  const identity: Identity = { role, subject: "x", pools: ["main"], expiresAtMs: Date.now() + 60_000 };
  const good = await signToken(identity, key);
  const [header, , signature] = good.split(".") as [string, string, string];
  const encode = (value: object): string => base64url.encode(JSON.stringify(value));
  const claims = {
    sub: "x",
    role,
    pools: ["*"],
    aud: "ipshard",
    exp: Math.floor(identity.expiresAtMs / 1_000),
  };
  const tokenId = newTokenId();
  rig.tenants.take({
    ...DEFAULT_POOL_POLICY,
    version: 1,
    revoked: [{ tokenId, expiresAtMs: identity.expiresAtMs }],
  });
  const stranger = { ...(await generateKey("issuer")), kid: key.kid! };
  const invalid = /^token-signature-invalid$/;
  return [
    ["nonsense", "nonsense", /^token-malformed$/],
    ["expired", await signToken({ ...identity, expiresAtMs: Date.now() - 5_000 }, key), /^token-expired$/],
    ["signed by another", await signToken(identity, stranger), invalid],
    ["with more pools", `${header}.${encode(claims)}.${signature}`, invalid],
    [
      "alg none",
      `${encode({ alg: "none", kid: key.kid })}.${encode(claims)}.`,
      /^token-(malformed|signature-invalid)$/,
    ],
    ["revoked", await signToken({ ...identity, tokenId }, key), /^token-revoked$/],
    ["of another pool", await signToken({ ...identity, pools: ["other"] }, key), /^(pool|role)-denied$/],
  ];
}

test("[GW7] [TK5] no path of a gateway is opened by a token that is missing, bad, revoked, of another role or pool", async () => {
  const paths = allPaths();
  expect(paths).toEqual(expect.arrayContaining(["/health", "/v1/status", "/v1/fetch", "/v1/connect"]));
  for (const path of paths.filter((one) => !PUBLIC.has(one))) {
    // This one speaks with who asks for a WebSocket only, and says so to everybody.
    const isForWebSockets = path === names.CONNECT_PATH;
    expect([path, await codeAt(path, null)]).toEqual([
      path,
      isForWebSockets ? "upgrade-required" : "token-missing",
    ]);
    if (isForWebSockets) continue;
    const permitted: Role[] = [];
    for (const role of ROLES) {
      for (const [what, token, code] of await badTokens(role)) {
        expect([path, role, what, await codeAt(path, token)]).toEqual([
          path,
          role,
          what,
          expect.stringMatching(code),
        ]);
      }
      const key = role === "gateway" || role === "join" ? rig.keys.edge : rig.keys.issuer;
      const identity = { role, subject: "x", pools: ["main"], expiresAtMs: Date.now() + 60_000 };
      if ((await codeAt(path, await signToken(identity, key))) !== "role-denied") permitted.push(role);
    }
    expect([path, permitted.length]).toEqual([path, 1]);
  }
});

test("[GW7] a path that is added to the sources is among those that are tried", () => {
  const added =
    'if (path === "/v1/planted") return open(); // "/v1/commented"\n if (path === FETCH_PATH) return;';
  expect(pathsIn(added)).toEqual(["/v1/planted", names.FETCH_PATH]);
});

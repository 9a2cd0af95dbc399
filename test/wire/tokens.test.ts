/** Who is believed, and who is not. */
import { exportJWK, generateKeyPair, importJWK, type JWK, SignJWT, UnsecuredJWT } from "jose";
import { beforeAll, describe, expect, test, vi } from "vitest";
import { EVERY_POOL, type Identity, permitsPool, type Role } from "../../src/core/identity.ts";
import { generateKey, kindOf, publicPart } from "../../src/wire/keys.ts";
import { bearerOf, newTokenId, signToken, TokenVerifier } from "../../src/wire/tokens.ts";

const NOW = Date.UTC(2026, 0, 1);
const MINUTE = 60_000;

let issuer: JWK;
let edge: JWK;
let stranger: JWK;
let verifier: TokenVerifier;

beforeAll(async () => {
  [issuer, edge, stranger] = await Promise.all([
    generateKey("issuer"),
    generateKey("edge"),
    generateKey("issuer"),
  ]);
  verifier = new TokenVerifier({ keys: [publicPart(issuer), publicPart(edge)] });
});

function identity(role: Role, over: Partial<Identity> = {}): Identity {
  return { role, subject: "anna", pools: ["eu"], expiresAtMs: NOW + MINUTE, ...over };
}

async function refusalOf(token: string, nowMs = NOW): Promise<unknown> {
  const outcome = await verifier.verify(token, nowMs);
  return outcome.ok ? outcome.value : outcome.refusal;
}

/** A token with these claims, well signed by the issuer. */
async function tokenWith(
  claims: Record<string, unknown>,
  header: Record<string, unknown> = {},
): Promise<string> {
  return new SignJWT(claims)
    .setProtectedHeader({ alg: "Ed25519", kid: issuer.kid!, ...header })
    .sign(await importJWK(issuer, "Ed25519"));
}

const CLAIMS = { sub: "anna", role: "client", pools: ["eu"], aud: "ipshard", exp: NOW / 1000 + 60 };

describe("a token", () => {
  test.each<Role>(["client", "host", "router", "admin"])(
    "[ID1] for a %s is signed by an issuer",
    async (role) => {
      expect(await refusalOf(await signToken(identity(role), issuer))).toEqual(identity(role));
      if (role === "host" || role === "router") return;
      expect(await refusalOf(await signToken(identity(role), edge))).toBe("token-signature-invalid");
    },
  );

  test.each<Role>(["host", "router"])(
    "[ID1] [TK9] for a %s may be signed by the edge, and says so",
    async (role) => {
      const joined = await refusalOf(await signToken(identity(role), edge));
      expect(joined).toEqual({ ...identity(role), isJoined: true });
    },
  );

  test.each<Role>(["gateway", "join"])("[ID1] for a %s is signed by the edge", async (role) => {
    expect(await refusalOf(await signToken(identity(role), edge))).toEqual(identity(role));
    expect(await refusalOf(await signToken(identity(role), issuer))).toBe("token-signature-invalid");
  });

  test("[TK1] [TK2] may name a tenant, an id, and what it permits less", async () => {
    const whole = identity("client", {
      tenant: "shop",
      tokenId: "t-1",
      restrictions: { ips: ["192.0.2.1"], destinations: ["*.example.com:443"], requestsPerSecond: 2.5 },
    });
    expect(await refusalOf(await signToken(whole, issuer))).toEqual(whole);
    const narrow = identity("client", { restrictions: { ips: [] } });
    expect(await refusalOf(await signToken(narrow, issuer))).toEqual(narrow);
  });

  test.each([{ tenant: "" }, { tenant: 5 }, { jti: "" }, { ips: "192.0.2.1" }, { rate: 0 }, { rate: "9" }])(
    "[TK2] with %o is malformed",
    async (claims) => {
      expect(await refusalOf(await tokenWith({ ...CLAIMS, ...claims }))).toBe("token-malformed");
    },
  );

  test("[ID2] ends at the second it names", async () => {
    const token = await signToken(identity("client"), issuer);
    expect(await refusalOf(token, NOW + MINUTE - 1)).toEqual(identity("client"));
    expect(await refusalOf(token, NOW + MINUTE)).toBe("token-expired");
    expect(verifier.recall(token, NOW + MINUTE)).toBeUndefined();
  });

  test("[ID2] is not valid before it begins", async () => {
    const token = await tokenWith({ ...CLAIMS, nbf: NOW / 1000 + 30 });
    expect(await refusalOf(token)).toBe("token-not-yet-valid");
    expect(await refusalOf(token, NOW + 30_000)).toEqual(identity("client"));
  });

  test("[ID2] of a stranger is refused, also under a known key's name", async () => {
    expect(await refusalOf(await signToken(identity("admin"), stranger))).toBe("token-signature-invalid");
    const posing = { ...stranger, kid: issuer.kid! };
    expect(await refusalOf(await signToken(identity("admin"), posing))).toBe("token-signature-invalid");
  });

  test("[ID2] that was changed is refused", async () => {
    const token = await signToken(identity("client"), issuer);
    const [header, payload, signature] = token.split(".") as [string, string, string];
    const claims = JSON.parse(Buffer.from(payload, "base64url").toString()) as object;
    const forged = Buffer.from(JSON.stringify({ ...claims, role: "admin" })).toString("base64url");
    expect(await refusalOf(`${header}.${forged}.${signature}`)).toBe("token-signature-invalid");
    const flipped = signature.startsWith("A") ? `B${signature.slice(1)}` : `A${signature.slice(1)}`;
    expect(await refusalOf(`${header}.${payload}.${flipped}`)).toBe("token-signature-invalid");
  });

  test("[ID2] without a signature, or signed in another way, is refused", async () => {
    const unsigned = new UnsecuredJWT(CLAIMS).encode();
    expect(await refusalOf(unsigned)).toBe("token-signature-invalid");
    const none = Buffer.from(JSON.stringify({ alg: "none", kid: issuer.kid })).toString("base64url");
    expect(await refusalOf(`${none}.${unsigned.split(".")[1]}.`)).toBe("token-malformed");
    const secret = new TextEncoder().encode(JSON.stringify(publicPart(issuer)));
    const symmetric = new SignJWT(CLAIMS).setProtectedHeader({ alg: "HS256", kid: issuer.kid! });
    expect(await refusalOf(await symmetric.sign(secret))).toBe("token-malformed");
  });

  test.each(Object.keys(CLAIMS))("[ID3] without its claim %s is refused", async (claim) => {
    const { [claim as keyof typeof CLAIMS]: _dropped, ...rest } = CLAIMS;
    expect(await refusalOf(await tokenWith(rest))).toBe("token-malformed");
  });

  test("[ID3] with a claim of another form is refused", async () => {
    for (const claims of [
      { role: "root" },
      { role: "driver" },
      { pools: "eu" },
      { pools: [1] },
      { sub: "" },
      { sub: "x".repeat(129) },
      { aud: "another" },
      { exp: "soon" },
    ]) {
      expect(await refusalOf(await tokenWith({ ...CLAIMS, ...claims }))).toBe("token-malformed");
    }
  });

  test("[ID2] that is none is refused by name", async () => {
    for (const text of ["", "x", "a.b.c", "..", "é", "eyJhbGciOiJFZDI1NTE5In0"]) {
      expect(await refusalOf(text)).toBe("token-malformed");
    }
  });

  test("[ID4] is remembered until its keys are no longer trusted", async () => {
    const own = new TokenVerifier({ keys: [publicPart(issuer)] });
    const token = await signToken(identity("client"), issuer);
    expect(own.recall(token, NOW)).toBeUndefined();
    await own.verify(token, NOW);
    expect(own.recall(token, NOW)).toEqual(identity("client"));
    own.trust({ keys: [publicPart(edge)] });
    expect(own.recall(token, NOW)).toBeUndefined();
    expect(await own.verify(token, NOW)).toEqual({ ok: false, refusal: "token-signature-invalid" });
  });

  test("[ID4] is forgotten for newer ones, so that tokens take no more than so much memory", async () => {
    const mostKnown = 3;
    const own = new TokenVerifier({ keys: [publicPart(issuer)] }, mostKnown);
    const tokens: string[] = [];
    for (let number = 0; number <= mostKnown; number += 1) {
      const token = await signToken(identity("client", { subject: `client ${number}` }), issuer);
      await own.verify(token, NOW);
      tokens.push(token);
    }
    expect(own.recall(tokens[0]!, NOW)).toBeUndefined();
    for (const token of tokens.slice(1)) expect(own.recall(token, NOW)).toBeDefined();
  });

  test("[ID4] that was on its way when the keys changed is not remembered", async () => {
    const own = new TokenVerifier({ keys: [publicPart(issuer)] });
    const token = await signToken(identity("client"), issuer);
    const verifying = own.verify(token, NOW);
    own.trust({ keys: [] });
    await verifying;
    expect(own.recall(token, NOW)).toBeUndefined();
  });
});

describe("a key", () => {
  test("[ID1] says by its name what it may sign; a nameless one, or one of no kind, signs nothing", async () => {
    expect(kindOf(issuer.kid)).toBe("issuer");
    expect(kindOf(edge.kid)).toBe("edge");
    expect(kindOf("issuer")).toBeNull();
    expect(kindOf(undefined)).toBeNull();
    const { privateKey } = await generateKeyPair("Ed25519", { extractable: true });
    const nameless = await exportJWK(privateKey);
    for (const kid of [undefined, "other:key"]) {
      const key = { ...nameless, ...(kid === undefined ? {} : { kid }) };
      const own = new TokenVerifier({ keys: [publicPart(key)] });
      for (const role of ["admin", "gateway"] as const) {
        const token = await signToken(identity(role), key);
        expect(await own.verify(token, NOW)).toEqual({ ok: false, refusal: "token-signature-invalid" });
      }
    }
  });

  test("[ID1] is published without its secret", () => {
    expect(publicPart(issuer)).not.toHaveProperty("d");
    expect(publicPart(issuer)).toMatchObject({ kty: "OKP", crv: "Ed25519", kid: issuer.kid });
  });
});

describe("a bearer", () => {
  test("[ID5] may use the pools it names, or all", () => {
    expect(permitsPool(identity("client"), "eu")).toBe(true);
    expect(permitsPool(identity("client"), "us")).toBe(false);
    expect(permitsPool(identity("client", { pools: [EVERY_POOL] }), "us")).toBe(true);
    expect(permitsPool(identity("client", { pools: [] }), "eu")).toBe(false);
  });

  test("[ID2] is read from a bearer header and nothing else", () => {
    expect(bearerOf("Bearer abc")).toBe("abc");
    expect(bearerOf("bearer  abc")).toBe("abc");
    for (const header of [null, undefined, "", "abc", "Basic abc", "Bearer", "Bearer a b", "x Bearer abc"]) {
      expect(bearerOf(header)).toBeNull();
    }
  });
});

describe("a bad token", () => {
  const bad: readonly (readonly [what: string, make: () => Promise<string>, verifications: number])[] = [
    ["of a key that nobody knows", async () => signToken(identity("client"), stranger), 1],
    ["of no key", async () => tokenWith(CLAIMS, { kid: "" }), 1],
    [
      "with another's signature",
      async () => signToken(identity("client"), { ...stranger, kid: issuer.kid! }),
      1,
    ],
    ["that has ended", async () => signToken(identity("client", { expiresAtMs: NOW - MINUTE }), issuer), 1],
    ["of a role that the key may not sign", async () => signToken(identity("admin"), edge), 1],
    ["without a role", async () => tokenWith({ ...CLAIMS, role: undefined }), 1],
    ["for another audience", async () => tokenWith({ ...CLAIMS, aud: "other" }), 1],
    ["that is too long", async () => tokenWith({ ...CLAIMS, more: "x".repeat(20_000) }), 0],
  ];

  test.each(bad)("[TK8] %s costs as many verifications as any", async (_what, make, verifications) => {
    const token = await make();
    const spy = vi.spyOn(crypto.subtle, "verify");
    expect(await refusalOf(token)).toMatch(/^token-/);
    expect(spy).toHaveBeenCalledTimes(verifications);
    spy.mockRestore();
  });

  test("[TK8] signed by the key that stands for nobody is refused", async () => {
    // The private part is published: RFC 8032, section 7.1, the first test.
    const nobody = {
      kty: "OKP",
      crv: "Ed25519",
      x: "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
      d: "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
    };
    for (const kid of ["", "issuer:x", "edge:x"]) {
      const token = await signToken(identity("client"), { ...nobody, kid });
      expect(await refusalOf(token)).toBe("token-signature-invalid");
    }
  });
});

test("[TK2] ids of tokens are short, no two are the same, and none begins like an option", () => {
  const ids = Array.from({ length: 1_000 }, () => newTokenId());
  expect(new Set(ids).size).toBe(1_000);
  for (const id of ids) expect(id).toMatch(/^\w[\w-]{11}$/);
});

/** Tokens that must open nothing: made by strangers, bent, or signed and yet not in order. */
import { base64url, CompactSign, importJWK, type JWK, SignJWT } from "jose";
import { generateKey, publicPart } from "../../src/wire/keys.ts";

/** A token by what is wrong with it. */
export type Forged = readonly [what: string, token: string];

type Claims = Record<string, unknown>;

const encode = (value: unknown): string => base64url.encode(JSON.stringify(value));

/** All of them, for an edge that trusts these two keys and would take `good`. */
export async function forgedTokens(issuerKey: JWK, edgeKey: JWK, good: string): Promise<Forged[]> {
  const nowS = Math.floor(Date.now() / 1_000);
  const claims: Claims = { sub: "x", role: "admin", pools: ["*"], aud: "ipshard", exp: nowS + 3_600 };
  const [header, payload, signature] = good.split(".") as [string, string, string];
  const forged: Forged[] = [];
  const add = (what: string, token: string): void => void forged.push([what, token]);
  const signed = async (what: string, bent: Claims, protectedHeader: Claims = {}, key = issuerKey) => {
    const head = { alg: "Ed25519", kid: key.kid, ...protectedHeader };
    const secret = await importJWK(key, "Ed25519");
    const bytes = new TextEncoder().encode(JSON.stringify(bent));
    add(
      what,
      await new CompactSign(bytes)
        .setProtectedHeader(head as never)
        .sign(secret, { crit: { own: true, b64: true } }),
    );
  };

  // Bent by somebody without a key.
  for (const alg of ["none", "None", "NONE", "", "HS256", "EdDSA", "ES256", "RS256", "ed25519", null, 5]) {
    const head = encode({ alg, kid: issuerKey.kid });
    for (const end of ["", signature])
      add(
        `alg ${String(alg)}, ${end === "" ? "no" : "another's"} signature`,
        `${head}.${encode(claims)}.${end}`,
      );
  }
  const secret = new TextEncoder().encode(JSON.stringify(publicPart(issuerKey)));
  add(
    "signed with the public key as a secret",
    await new SignJWT(claims).setProtectedHeader({ alg: "HS256", kid: issuerKey.kid! }).sign(secret),
  );
  add(
    "signed with the public point as a secret",
    await new SignJWT(claims)
      .setProtectedHeader({ alg: "HS256", kid: issuerKey.kid! })
      .sign(base64url.decode(issuerKey.x!)),
  );
  add("the role changed", `${header}.${encode(claims)}.${signature}`);
  add("the header changed", `${encode({ alg: "Ed25519", kid: edgeKey.kid })}.${payload}.${signature}`);
  add("no kid", `${encode({ alg: "Ed25519" })}.${payload}.${signature}`);
  for (const kid of [
    "",
    "issuer:",
    "*",
    "../keys/issuer",
    "__proto__",
    "constructor",
    ["x"],
    {},
    0,
    null,
    `${issuerKey.kid} `,
  ]) {
    add(`the kid ${JSON.stringify(kid)}`, `${encode({ alg: "Ed25519", kid })}.${payload}.${signature}`);
  }
  const flipped = base64url.decode(signature);
  for (const at of [0, 31, 32, 63]) {
    const bytes = Uint8Array.from(flipped);
    bytes[at]! ^= 1;
    add(`a bit of byte ${at} of the signature`, `${header}.${payload}.${base64url.encode(bytes)}`);
  }
  add("an empty signature", `${header}.${payload}.`);
  add("half a signature", `${header}.${payload}.${signature.slice(0, 43)}`);
  add("a longer signature", `${header}.${payload}.${signature}AAAA`);
  add("a signature of noughts", `${header}.${payload}.${base64url.encode(new Uint8Array(64))}`);
  add("two parts", `${header}.${payload}`);
  add("four parts", `${good}.${signature}`);
  add("five parts", `${good}.${signature}.${signature}`);
  add("one part", header);
  add("points only", "..");
  add("a point before", `.${good}`);
  add("nonsense", "nonsense");
  add("no JSON in the header", `${base64url.encode("{")}.${payload}.${signature}`);
  add("a header that is null", `${encode(null)}.${payload}.${signature}`);
  add("a header that is a list", `${encode([])}.${payload}.${signature}`);
  add("100,000 characters", "a".repeat(10_000).concat(".b.c"));
  add("signs of base64 instead", `${header}.${payload}.${"+/".repeat(43)}`);

  // By a key that nobody trusts, named as one that is.
  const stranger = await generateKey("issuer");
  await signed("by a stranger", claims, {}, stranger);
  await signed("by a stranger in the issuer's name", claims, { kid: issuerKey.kid }, stranger);
  await signed(
    "by a stranger who brings the key along",
    claims,
    { kid: issuerKey.kid, jwk: publicPart(stranger) },
    stranger,
  );
  await signed(
    "by a stranger who says where the key is",
    claims,
    { jku: "http://127.0.0.1/keys", kid: stranger.kid },
    stranger,
  );
  await signed(
    "by a stranger with a chain",
    claims,
    { x5c: ["AAAA"], x5u: "http://127.0.0.1/", kid: stranger.kid },
    stranger,
  );

  // By a key that is trusted for other things.
  for (const role of ["client", "host", "router", "admin"])
    await signed(`the edge's key for ${role}`, { ...claims, role }, {}, edgeKey);
  await signed("the issuer's key for gateway", { ...claims, role: "gateway" });

  // Signed as it should be, and not in order.
  await signed("an extension that must be understood", claims, { crit: ["own"], own: 1 });
  for (const [name, values] of Object.entries({
    exp: [undefined, null, "soon", nowS - 1, 0, -1, `${nowS + 60}`, {}, []],
    aud: [undefined, null, "", "other", ["other"], 5, "IPSHARD"],
    nbf: [nowS + 600, "x"],
    sub: [undefined, null, "", 5, "x".repeat(129), ["x"], {}],
    role: [undefined, null, "", "Admin", "root", ["admin"], "admin client", 5, "__proto__"],
    pools: [undefined, null, "*", {}, [5], [null], Array.from({ length: 257 }, () => "x"), 5],
  })) {
    for (const value of values) {
      const { [name]: _left, ...rest } = claims;
      await signed(
        `${name}: ${JSON.stringify(value)?.slice(0, 40)}`,
        value === undefined ? rest : { ...rest, [name]: value },
      );
    }
  }
  return forged;
}

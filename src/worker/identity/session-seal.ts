/**
 * What a session of the dashboard is made of: the token itself and what belongs to it, sealed. Whoever has it
 * cannot read it, and the edge keeps nothing of it. Who steals a key of the edge can seal nothing of use, since
 * the token inside counts by its issuer's signature alone. [DA3]
 *
 * Opening one that is bad takes as long as opening one that is good, whatever is wrong with it.
 */
import { base64url, decodeProtectedHeader, EncryptJWT, type JWK, jwtDecrypt } from "jose";

/** What is sealed. */
export interface Session {
  /** By this it is ended before its time. */
  readonly id: string;
  readonly token: string;
  /** What the page shows with each change, for another page cannot read it. [DA5] */
  readonly csrf: string;
  /** Unix milliseconds. */
  readonly endsAtMs: number;
}

const MANAGEMENT = "dir";
const ENCRYPTION = "A256GCM";
/** A browser takes no cookie that is longer, with its name and what is said of it. */
const LONGEST_SEALED = 3_900;
const PURPOSE = "ipshard session";
const NO_SALT = new Uint8Array();

const derived = new WeakMap<JWK, Promise<CryptoKey>>();
let nobody: Promise<CryptoKey> | null = null;

/** The sealed session; null where it is longer than a cookie may be. `name` is that of its cookie. */
export async function sealSession(session: Session, name: string, key: JWK): Promise<string | null> {
  const { id, token, csrf, endsAtMs } = session;
  const sealed = await new EncryptJWT({ token, csrf })
    .setProtectedHeader({ alg: MANAGEMENT, enc: ENCRYPTION, kid: key.kid ?? "" })
    .setJti(id)
    .setAudience(name)
    .setExpirationTime(Math.floor(endsAtMs / 1_000))
    .encrypt(await sealingKey(key));
  return sealed.length > LONGEST_SEALED ? null : sealed;
}

/** The session that one of these keys has sealed for a cookie of this name, unless it has ended. */
export async function openSession(
  sealed: string,
  name: string,
  keys: readonly JWK[],
  nowMs: number,
): Promise<Session | null> {
  if (sealed.length > LONGEST_SEALED) return null;
  const kid = kidOf(sealed);
  const key = keys.find((one) => one.kid === kid);
  try {
    const opening = key === undefined ? nobodysKey() : sealingKey(key);
    const { payload } = await jwtDecrypt(sealed, await opening, {
      keyManagementAlgorithms: [MANAGEMENT],
      contentEncryptionAlgorithms: [ENCRYPTION],
      audience: name,
      requiredClaims: ["exp", "jti", "token", "csrf"],
      currentDate: new Date(nowMs),
    });
    const { jti, exp, token, csrf } = payload as Record<"jti" | "token" | "csrf", string> & { exp: number };
    return { id: jti, token, csrf, endsAtMs: exp * 1_000 };
  } catch {
    return null;
  }
}

/** What the register keeps of a sign-in code: where it is found, and the token, which the code alone opens. [DA4] */
export interface SealedToken {
  readonly id: string;
  readonly sealed: string;
}

/** A new code, and the token under it. */
export async function sealUnderCode(token: string): Promise<SealedToken & { readonly code: string }> {
  const code = base64url.encode(crypto.getRandomValues(new Uint8Array(18)));
  const { id, key } = await codeParts(code);
  const sealed = await new EncryptJWT({ token })
    .setProtectedHeader({ alg: MANAGEMENT, enc: ENCRYPTION })
    .encrypt(key);
  return { code, id, sealed };
}

/** Where the register has the token of a code. */
export async function idOfCode(code: string): Promise<string> {
  return (await codeParts(code)).id;
}

/** The token under a code; null where it is not of this code. */
export async function openByCode(code: string, sealed: string): Promise<string | null> {
  try {
    const { payload } = await jwtDecrypt(sealed, (await codeParts(code)).key);
    return (payload as { token: string }).token;
  } catch {
    return null;
  }
}

async function codeParts(code: string): Promise<{ id: string; key: CryptoKey }> {
  const secret = new TextEncoder().encode(code);
  const id = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(`ipshard sign-in code\0${code}`));
  return { id: base64url.encode(new Uint8Array(id)), key: await keyFrom(secret, "ipshard sign-in code") };
}

function kidOf(sealed: string): string | null {
  try {
    const { kid } = decodeProtectedHeader(sealed);
    return typeof kid === "string" ? kid : null;
  } catch {
    return null;
  }
}

/** Derived once for each key of the edge. */
function sealingKey(key: JWK): Promise<CryptoKey> {
  let made = derived.get(key);
  if (made === undefined) derived.set(key, (made = keyFrom(base64url.decode(key.d!), PURPOSE)));
  return made;
}

/** That of nobody: what claims an unknown key costs as much as any other. */
function nobodysKey(): Promise<CryptoKey> {
  nobody ??= keyFrom(crypto.getRandomValues(new Uint8Array(32)), PURPOSE);
  return nobody;
}

async function keyFrom(secret: Uint8Array, purpose: string): Promise<CryptoKey> {
  const material = await crypto.subtle.importKey("raw", secret, "HKDF", false, ["deriveKey"]);
  const info = new TextEncoder().encode(purpose);
  const how = { name: "HKDF", hash: "SHA-256", salt: NO_SALT, info };
  const kind = { name: "AES-GCM", length: 256 };
  return crypto.subtle.deriveKey(how, material, kind, false, ["encrypt", "decrypt"]);
}

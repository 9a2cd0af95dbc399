/** Tokens kept on disk: made when first wanted, renewed before they end or when keys changed. [CI10] */
import { rename, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import type { JWK } from "jose";
import { makeDirectory } from "../../process/directories.ts";
import { publicPart } from "../../wire/keys.ts";
import { TokenVerifier } from "../../wire/tokens.ts";
import { issueToken, toIdentity } from "./issue-token.ts";
import type { StatePaths } from "../state-paths.ts";
import { readSmallFile } from "../../process/small-file.ts";

const TTL = "365d";
/** A token with less time left is replaced. */
const RENEW_BELOW_MS = 90 * 86_400_000;

/** A kept token for one role and name, in the file of that name. */
export interface KeptToken {
  readonly role: "client" | "host" | "admin";
  readonly name: string;
  readonly pools: readonly string[];
}

/** Answers the token, and the file that holds it (mode 0600). */
export async function ensureToken(
  state: StatePaths,
  wanted: KeptToken,
  issuer: JWK,
  nowMs: number,
): Promise<{ token: string; file: string }> {
  const file = state.tokenFile(wanted.name);
  const kept = await readIfThere(file);
  if (kept !== null && (await isGood(kept, wanted, issuer, nowMs))) return { token: kept, file };
  const token = await issueToken({ ...wanted, ttl: TTL }, issuer, nowMs);
  makeDirectory(dirname(file), 0o700);
  await writeFile(`${file}.new`, `${token}\n`, { mode: 0o600 });
  await rename(`${file}.new`, file);
  return { token, file };
}

async function isGood(token: string, wanted: KeptToken, issuer: JWK, nowMs: number): Promise<boolean> {
  const verifier = new TokenVerifier({ keys: [publicPart(issuer)] });
  const verified = await verifier.verify(token, nowMs);
  if (!verified.ok) return false;
  const { role, subject, pools, expiresAtMs } = verified.value;
  const identity = toIdentity({ ...wanted, ttl: TTL }, nowMs);
  return (
    role === identity.role &&
    subject === identity.subject &&
    pools.join() === identity.pools.join() &&
    expiresAtMs - nowMs >= RENEW_BELOW_MS
  );
}

async function readIfThere(file: string): Promise<string | null> {
  try {
    return (await readSmallFile(file)).trim();
  } catch (fault) {
    if ((fault as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw fault;
  }
}

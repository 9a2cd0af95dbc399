/**
 * How a machine becomes a host or a router by one command: it changes a join token, which is good once, for
 * a token of its own, and keeps that in its state directory.
 *
 * Before it asks it has on disk by what it will prove to be the same machine, so that a lost answer does not
 * strand it. With a token that it has it goes on whatever becomes of the join token. [TK9]
 */
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { decodeJwt } from "jose";
import { z } from "zod";
import { CommandFault } from "../process/command-fault.ts";
import { makeDirectory } from "../process/directories.ts";
import { adviceOn, codeOfProblem } from "./edge-refusals.ts";
import { readOptional, replaceFileForGood } from "./replace-file.ts";
import { readSmallFile, readSmallInput } from "../process/small-file.ts";

/** What a machine may become. */
export type JoinedRole = "host" | "router";

/** Where and how to join. */
export interface JoinOptions {
  readonly edge: URL;
  /** Of the join token; `-` for standard input. */
  readonly joinFile: string;
  readonly stateDirectory: string;
  readonly role: JoinedRole;
}

/** What the machine has by a join. */
export interface Joined {
  readonly tokenFile: string;
  readonly pools: readonly string[];
}

const TOKEN_FILE = "token";
/** Of the join token that was used last. */
const JOIN_FILE = "joined-by";
const PROOF_FILE = "join-proof";
const PROOF_BYTES = 32;
const ANSWER_MS = 15_000;
const TRIES = 5;
const RETRY_MS = 1_000;

/** What a join or a renewal answers. */
export const joinedSchema = z.object({ token: z.string(), role: z.string(), pools: z.array(z.string()) });
const claimsSchema = z.object({
  role: z.string(),
  pools: z.array(z.string()),
  exp: z.number(),
  jti: z.string().optional(),
});

/** Joins, unless this machine has. Throws `join-failed`. */
export async function ensureJoined(options: JoinOptions): Promise<Joined> {
  const { stateDirectory, role } = options;
  const tokenFile = join(stateDirectory, TOKEN_FILE);
  makeDirectory(stateDirectory, 0o700);
  const kept = claimsOf((await readOptional(tokenFile)) ?? "");
  const isGood = kept !== null && kept.role === role && kept.exp * 1_000 > Date.now();
  const offered = await readJoinToken(options.joinFile);
  const offer = claimsOf(offered);
  const joinFile = join(stateDirectory, JOIN_FILE);
  const usedId = await readOptional(joinFile);
  const isNew = offer !== null && offer.role === "join" && offer.jti !== undefined && offer.jti !== usedId;
  if (isGood && !isNew) return { tokenFile, pools: kept.pools };
  if (!isNew)
    throw failed(
      "There is no token here yet, and no join token that was not used: make one with ipshard host add.",
    );
  try {
    const { token, pools } = await change(options, offered);
    await replaceFileForGood(tokenFile, token);
    await replaceFileForGood(joinFile, offer.jti!);
    return { tokenFile, pools };
  } catch (fault) {
    // Cut off between the two, it has its token already.
    if (isGood && fault instanceof CommandFault) return { tokenFile, pools: kept.pools };
    throw fault;
  }
}

/** What a join would make known, as far as this machine can say without it. Throws `join-failed`. */
export async function foreseenJoin({ joinFile, stateDirectory, role }: JoinOptions): Promise<Joined> {
  const tokenFile = join(stateDirectory, TOKEN_FILE);
  const kept = claimsOf((await readOptional(tokenFile)) ?? "");
  if (kept !== null && kept.role === role) return { tokenFile, pools: kept.pools };
  // What comes by standard input is not there yet.
  if (joinFile === "-") return { tokenFile, pools: [] };
  const offered = await readJoinToken(joinFile);
  const offer = claimsOf(offered);
  if (offer?.role === "join") return { tokenFile, pools: offer.pools };
  const what = offered === "" ? "holds nothing" : "holds no join token";
  throw failed(
    `--join ${joinFile} ${what}, and this machine has no token by an earlier join in ${stateDirectory}.`,
  );
}

async function change(
  { edge, role, stateDirectory }: JoinOptions,
  joinToken: string,
): Promise<z.infer<typeof joinedSchema>> {
  const proof = await proofIn(stateDirectory);
  for (let tried = 1; ; tried += 1) {
    const answer = await ask(edge, "/v1/join", joinToken, { proof });
    if (answer.ok) {
      if (answer.joined.role !== role)
        throw failed(`The join token is for a ${answer.joined.role}, not for a ${role}.`);
      return answer.joined;
    }
    if (!answer.mayPass || tried === TRIES) throw failed(answer.why);
    await delay(RETRY_MS * tried);
  }
}

type Answer =
  | { readonly ok: true; readonly joined: z.infer<typeof joinedSchema> }
  | { readonly ok: false; readonly why: string; readonly mayPass: boolean; readonly code: string | null };

/** Asks the edge for a token by another. */
export async function ask(edge: URL, path: string, token: string, body: object): Promise<Answer> {
  let status: number;
  let answer: string;
  try {
    const response = await fetch(new URL(path, edge), {
      method: "POST",
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
      body: JSON.stringify(body),
      redirect: "error",
      signal: AbortSignal.timeout(ANSWER_MS),
    });
    status = response.status;
    answer = await response.text();
  } catch (fault) {
    const { cause, message } = fault as { cause?: { message?: string }; message: string };
    const why = `The edge at ${edge.href} cannot be reached: ${cause?.message ?? message}.`;
    return { ok: false, why, mayPass: true, code: null };
  }
  if (status === 200) {
    const joined = joinedSchema.safeParse(readJson(answer));
    if (joined.success) return { ok: true, joined: joined.data };
  }
  const code = codeOfProblem(answer);
  const why =
    code === null
      ? `What answers at ${edge.href} with ${status} is no edge of this version.`
      : adviceOn(code);
  return { ok: false, why: code === null ? why : `${why} (${status} ${code})`, mayPass: status >= 500, code };
}

async function readJoinToken(file: string): Promise<string> {
  try {
    // A service that is started again has nothing there, and needs nothing.
    if (file === "-") return process.stdin.isTTY ? "" : (await readSmallInput()).trim();
    return (await readSmallFile(file)).trim();
  } catch (fault) {
    // It may have been removed once it was used.
    if ((fault as NodeJS.ErrnoException).code === "ENOENT") return "";
    throw failed(`The join token in ${file} cannot be read: ${(fault as Error).message}.`);
  }
}

async function proofIn(stateDirectory: string): Promise<string> {
  const file = join(stateDirectory, PROOF_FILE);
  const kept = await readOptional(file);
  if (kept !== null && /^[\w-]{43}$/.test(kept)) return kept;
  const proof = randomBytes(PROOF_BYTES).toString("base64url");
  await replaceFileForGood(file, proof);
  return proof;
}

function claimsOf(token: string): z.infer<typeof claimsSchema> | null {
  try {
    return claimsSchema.parse(decodeJwt(token.trim()));
  } catch {
    return null;
  }
}

function readJson(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    return undefined;
  }
}

function failed(message: string): CommandFault {
  return new CommandFault("join-failed", message);
}

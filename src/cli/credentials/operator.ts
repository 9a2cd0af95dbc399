/**
 * The edge's API, called as its operator. Which edge, and by which token: options say it before the environment,
 * that before the context, and where none does it is the edge of this machine, with a token that is made for the
 * moment by the issuer's key. No token stands on a command line. [OV1] [TK11]
 */
import { userInfo } from "node:os";
import type { Command } from "commander";
import { type EdgeApi, edgeApi } from "../../api/edge-api.ts";
import { isName } from "../../core/selection.ts";
import { CommandFault } from "../../process/command-fault.ts";
import { optionInvalid, readPool, readUrl } from "../../process/command-options.ts";
import { ALLOW_PLAIN_HTTP, securely } from "../../process/plain-http-option.ts";
import { endOfToken } from "../../wire/token-end.ts";
import { type Context, contextIn, readContexts } from "../contexts/context-file.ts";
import { stateOption } from "../options.ts";
import { StatePaths } from "../state-paths.ts";
import { issueToken } from "./issue-token.ts";
import { readKey } from "./key-files.ts";
import { readSmallFile, readSmallInput } from "../../process/small-file.ts";

/** How verbs that call the edge are told where it is, and as whom. */
export interface OperatorWords {
  readonly edge?: string;
  readonly tokenFile?: string;
  readonly allowPlainHttp?: boolean;
  readonly context?: string;
  readonly state: string;
}

/** An edge, ready to be called. */
export interface Operator {
  readonly edge: URL;
  readonly allowPlainHttp: boolean;
  readonly api: EdgeApi;
  /** The pool that is meant where none is named; null where nothing says it. */
  readonly pool: string | null;
  readonly token: string;
}

/** An edge, before anybody is asked as whom. */
export interface EdgeMeant {
  readonly edge: URL;
  readonly allowPlainHttp: boolean;
  readonly context: Context | null;
  readonly pool: string | null;
}

/** Where the edge is when nothing is said. */
const LOCAL_EDGE = "http://127.0.0.1:8787";
const OWN_TOKEN_TTL = "5m";

/** The verb with all options that say which edge is called, and as whom. */
export function withOperator(verb: Command): Command {
  return verb
    .option(
      "--token-file <file>",
      "a token of the role admin, - for standard input (default: that of the context, else one made with the issuer's key)",
    )
    .option("--edge <url>", `where the edge is (default: that of the context, else ${LOCAL_EDGE})`)
    .option("--context <name>", "a context of `ipshard login` instead of the current one")
    .option(ALLOW_PLAIN_HTTP, "let the token travel over plain HTTP beyond this machine")
    .addOption(stateOption());
}

/** Which edge is meant, and the context if it is that one's. */
export async function edgeMeant(
  words: Pick<OperatorWords, "edge" | "context" | "allowPlainHttp">,
  environment = process.env,
): Promise<EdgeMeant> {
  const { IPSHARD_EDGE, IPSHARD_CONTEXT, IPSHARD_POOL } = environment;
  const named = contextIn(await readContexts(), words.context ?? IPSHARD_CONTEXT ?? null);
  const isOfEnvironment = words.edge === undefined && IPSHARD_EDGE !== undefined;
  const written = words.edge ?? IPSHARD_EDGE ?? named?.edge ?? LOCAL_EDGE;
  const url = readUrl(isOfEnvironment ? "IPSHARD_EDGE" : "--edge", written);
  // A context's token is for its edge, and is shown to no other.
  const context = named !== null && new URL(named.edge).href === url.href ? named : null;
  const allowPlainHttp = words.allowPlainHttp === true || context?.allowPlainHttp === true;
  const edge = securely("--edge", url, { allowPlainHttp });
  return { edge, allowPlainHttp, context, pool: IPSHARD_POOL ?? context?.pool ?? null };
}

/** The edge that is meant, and its API as its operator. */
export async function operatorFor(words: OperatorWords, environment = process.env): Promise<Operator> {
  const { edge, allowPlainHttp, context, pool } = await edgeMeant(words, environment);
  const file = words.tokenFile ?? environment["IPSHARD_TOKEN_FILE"];
  const token =
    file === undefined
      ? (context?.token ?? (await ownToken(new StatePaths(words.state))))
      : await readTokenFile(file);
  if (file !== undefined || context !== null) noteEnd(token, Date.now());
  return { edge, allowPlainHttp, token, pool, api: edgeApi({ edge, token: () => token, allowPlainHttp }) };
}

/** Said beforehand, beside the answer: then another can be made in time. [OV10] */
function noteEnd(token: string, nowMs: number): void {
  const end = endOfToken(token);
  if (end === null || nowMs < end.nearFromMs || nowMs >= end.endsAtMs) return;
  const endsAt = new Date(end.endsAtMs).toISOString();
  process.stderr.write(`The token ends at ${endsAt}: make another (ipshard token), or log in anew.\n`);
}

/** The pool that is meant: the one that is named, that of environment or context, or the only one there is. [OV3] */
export async function poolMeant(named: string | undefined, { api, pool }: Operator): Promise<string> {
  const said = named ?? pool;
  if (said !== null) return readPool(said);
  const { pools } = await api.listPools();
  if (pools.length === 1) return pools[0]!;
  const known =
    pools.length === 0
      ? "There is none: make one with ipshard pool add NAME."
      : `There are: ${pools.join(", ")}.`;
  throw optionInvalid(`Say which pool by --pool. ${known}`);
}

/** A token of the operator's own that lasts for this long, made with the issuer's key. */
export async function ownToken(state: StatePaths, ttl = OWN_TOKEN_TTL): Promise<string> {
  const { username } = userInfo();
  const request = { role: "admin", name: isName(username) ? username : "operator", pools: [], ttl };
  return issueToken(request, await readKey(state, "issuer"), Date.now());
}

/** A token from a file, or from standard input where `-` stands for it; throws `token-unreadable`. */
export async function readTokenFile(file: string): Promise<string> {
  let read: string;
  try {
    read = (file === "-" ? await readSmallInput() : await readSmallFile(file)).trim();
  } catch (fault) {
    const { message } = fault as Error;
    throw new CommandFault("token-unreadable", `The token file ${file} cannot be read: ${message}.`, fault);
  }
  if (/^[\w.-]+$/.test(read)) return read;
  throw new CommandFault("token-unreadable", `What is in the token file ${file} is no token.`);
}

/**
 * The edge's API, called as its operator: by a token from a file, or by one that is made for the moment
 * where the issuer's key is. Neither stands on a command line. [TK11]
 */
import { readFile } from "node:fs/promises";
import { userInfo } from "node:os";
import { text } from "node:stream/consumers";
import { Option } from "commander";
import { type EdgeApi, edgeApi } from "../../api/edge-api.ts";
import { isName } from "../../core/selection.ts";
import { CommandFault } from "../../process/command-fault.ts";
import { readUrl } from "../../process/command-options.ts";
import { ALLOW_PLAIN_HTTP, securely } from "../../process/plain-http-option.ts";
import { issueToken } from "./issue-token.ts";
import { readKey } from "./key-files.ts";
import type { StatePaths } from "../state-paths.ts";

/** How verbs that call the edge are told where it is, and as whom. */
export interface OperatorWords {
  readonly edge: string;
  readonly adminTokenFile?: string;
  readonly allowPlainHttp?: boolean;
}

/** Where the edge is when nothing is said. */
export const LOCAL_EDGE = "http://127.0.0.1:8787";

const OWN_TOKEN_TTL = "5m";

/** Where the edge is. */
export function edgeOption(): Option {
  return new Option("--edge <url>", "where the edge is").default(LOCAL_EDGE);
}

/** As whom the edge is called. */
export function adminTokenOption(): Option {
  return new Option(
    "--admin-token-file <file>",
    "a token of the role admin, - for standard input (default: one that is made with the issuer's key)",
  );
}

/** Whether the token may go there in plain text. [TR4] */
export function plainHttpOption(): Option {
  return new Option(ALLOW_PLAIN_HTTP, "let the token travel over plain HTTP beyond this machine");
}

/** The API of an edge, as its operator. */
export async function operatorApi(
  { edge, adminTokenFile, allowPlainHttp = false }: OperatorWords,
  state: StatePaths,
): Promise<EdgeApi> {
  const url = securely("--edge", readUrl("--edge", edge), { allowPlainHttp });
  const token = await operatorToken(adminTokenFile, state);
  return edgeApi({ edge: url, token: () => token, allowPlainHttp });
}

async function operatorToken(file: string | undefined, state: StatePaths): Promise<string> {
  if (file !== undefined) return readTokenFile(file);
  const { username } = userInfo();
  const request = {
    role: "admin",
    name: isName(username) ? username : "operator",
    pools: [],
    ttl: OWN_TOKEN_TTL,
  };
  return issueToken(request, await readKey(state, "issuer"), Date.now());
}

/** A token from a file, or from standard input where `-` stands for it; throws `token-unreadable`. */
export async function readTokenFile(file: string): Promise<string> {
  let read: string;
  try {
    read = (file === "-" ? await text(process.stdin) : await readFile(file, "utf8")).trim();
  } catch (fault) {
    const { message } = fault as Error;
    throw new CommandFault("token-unreadable", `The token file ${file} cannot be read: ${message}.`, fault);
  }
  if (/^[\w.-]+$/.test(read)) return read;
  throw new CommandFault("token-unreadable", `What is in the token file ${file} is no token.`);
}

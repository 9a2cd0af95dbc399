/** The egress API, called as a client: which edge, and by which token. [OV7] */
import { userInfo } from "node:os";
import { isName } from "../../core/selection.ts";
import { CommandFault } from "../../process/command-fault.ts";
import { StatePaths } from "../state-paths.ts";
import { issueToken } from "./issue-token.ts";
import { readKey } from "./key-files.ts";
import { edgeMeant, type EdgeMeant, readTokenFile } from "./operator.ts";

/** How a verb is told. */
export interface ClientWords {
  readonly edge?: string;
  readonly tokenFile?: string;
  readonly context?: string;
  readonly allowPlainHttp?: boolean;
  readonly pool?: string;
  readonly state: string;
}

const OWN_TOKEN_TTL = "5m";

/** A token of a client, from a file, the context, or made for the moment where the issuer's key is. */
export async function clientTokenFor(words: ClientWords): Promise<EdgeMeant & { readonly token: string }> {
  const meant = await edgeMeant(words);
  const pool = words.pool ?? meant.pool;
  const token = words.tokenFile === undefined ? null : await readTokenFile(words.tokenFile);
  return { ...meant, pool, token: token ?? meant.context?.clientToken ?? (await madeToken(words, pool)) };
}

async function madeToken({ state }: ClientWords, pool: string | null): Promise<string> {
  const { username } = userInfo();
  const name = isName(username) ? username : "operator";
  const request = { role: "client", name, pools: pool === null ? [] : [pool], ttl: OWN_TOKEN_TTL };
  try {
    return await issueToken(request, await readKey(new StatePaths(state), "issuer"), Date.now());
  } catch (fault) {
    if (!(fault instanceof CommandFault) || fault.code !== "key-missing") throw fault;
    throw new CommandFault(
      "token-unreadable",
      "There is no token of a client: give --token-file, or keep one in the context with ipshard login --client-token-file.",
      fault,
    );
  }
}

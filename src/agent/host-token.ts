/** The token that makes this machine a host of its pool: read from its file before each use. */
import { readFile } from "node:fs/promises";
import { decodeJwt } from "jose";
import { isName } from "../core/selection.ts";
import { AgentFault } from "./agent-fault.ts";

/** A token file, and the host that it names. */
export class HostToken {
  /** The subject of the token at the start: the name of this host for good. */
  readonly host: string;
  readonly #file: string;

  private constructor(host: string, file: string) {
    this.host = host;
    this.#file = file;
  }

  /** Reads the file; throws `token-unreadable` or `token-role`. */
  static async open(file: string): Promise<HostToken> {
    const { host } = await readToken(file);
    return new HostToken(host, file);
  }

  /** The token as it is in the file now, so that it can be replaced without a restart. */
  async read(): Promise<string> {
    const { token, host } = await readToken(this.#file);
    if (host === this.host) return token;
    throw new AgentFault(
      "token-unreadable",
      `The token in ${this.#file} is of the host ${host} now; this agent is ${this.host}. Restart it to change its name.`,
    );
  }
}

/** The edge verifies the token; here it is only read. */
async function readToken(file: string): Promise<{ token: string; host: string }> {
  let token: string;
  let claims: ReturnType<typeof decodeJwt>;
  try {
    token = (await readFile(file, "utf8")).trim();
    claims = decodeJwt(token);
  } catch (fault) {
    throw new AgentFault(
      "token-unreadable",
      `The token file ${file} cannot be read: ${String(fault)}`,
      fault,
    );
  }
  if (claims["role"] !== "host") {
    throw new AgentFault("token-role", `The token in ${file} is not of the role host.`);
  }
  if (claims.sub === undefined || !isName(claims.sub)) {
    throw new AgentFault("token-unreadable", `The token in ${file} names no host.`);
  }
  return { token, host: claims.sub };
}

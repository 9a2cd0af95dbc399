/** The token that makes this machine a host or a router of its pool: read from its file before each use. */
import { decodeJwt } from "jose";
import type { Role } from "../core/identity.ts";
import { isName } from "../core/selection.ts";
import { CommandFault } from "../process/command-fault.ts";
import { readSmallFile } from "../process/small-file.ts";

/** A token file, and whom it names. */
export class EdgeToken {
  /** The subject of the token at the start: the name of this host or router for good. */
  readonly subject: string;
  readonly #role: Role;
  readonly #file: string;

  private constructor(subject: string, role: Role, file: string) {
    this.subject = subject;
    this.#role = role;
    this.#file = file;
  }

  /** Reads the file; throws `token-unreadable`, or `token-role` when its token is of another role. */
  static async open(file: string, role: Role): Promise<EdgeToken> {
    const { subject } = await readToken(file, role);
    return new EdgeToken(subject, role, file);
  }

  /** The token as it is in the file now, so that it can be replaced without a restart. */
  async read(): Promise<string> {
    const { token, subject } = await readToken(this.#file, this.#role);
    if (subject === this.subject) return token;
    throw new CommandFault(
      "token-unreadable",
      `The token in ${this.#file} is of the ${this.#role} ${subject} now; this one is ${this.subject}. ` +
        "Restart it to change its name.",
    );
  }
}

/** The edge verifies the token; here it is only read. */
async function readToken(file: string, role: Role): Promise<{ token: string; subject: string }> {
  let token: string;
  let claims: ReturnType<typeof decodeJwt>;
  try {
    token = (await readSmallFile(file)).trim();
    claims = decodeJwt(token);
  } catch (fault) {
    throw new CommandFault(
      "token-unreadable",
      `The token file ${file} cannot be read (${reasonOf(fault)}): put a token there that ipshard token --role ${role} has made.`,
      fault,
    );
  }
  if (claims["role"] !== role) {
    throw new CommandFault(
      "token-role",
      `The token in ${file} is not of the role ${role}: make one with ipshard token --role ${role} --name NAME --pool POOL.`,
    );
  }
  if (claims.sub === undefined || !isName(claims.sub)) {
    throw new CommandFault(
      "token-unreadable",
      `The token in ${file} names no ${role}: make one whose --name has 1 to 63 of a-z 0-9 . _ - only.`,
    );
  }
  return { token, subject: claims.sub };
}

function reasonOf(fault: unknown): string {
  const { code, message } = fault as NodeJS.ErrnoException;
  return code === "ENOENT" ? "there is none" : message;
}

/**
 * The arguments of an agent or a router that joins, with what the join makes known put in place of what
 * would have to be given otherwise: so a machine needs the one command that `ipshard host add` prints. [TK12]
 */
import { createSocket } from "node:dgram";
import { once } from "node:events";
import type { Command } from "commander";
import { optionInvalid, readUrl } from "../process/command-options.ts";
import { ALLOW_PLAIN_HTTP, securely } from "../process/plain-http-option.ts";
import { ensureJoined, foreseenJoin, type Joined, type JoinedRole } from "./join.ts";

/** Where what a machine remembers is, unless it is told otherwise. */
const DEFAULT_STATE = "/var/lib/ipshard";
const GATEWAY_PORT = 8443;
const NO_PLACE = `127.0.0.1:${GATEWAY_PORT}`;

/** The arguments, and the file of the token if this machine has it by a join. */
export interface JoinedArguments {
  readonly args: readonly string[];
  readonly tokenFile: string | null;
}

/** Adds the option, for the help: it is read before all others. */
export function withJoin(command: Command): Command {
  return command.option(
    "--join <file>",
    "a join token, - for standard input, from which token, pool, state and the like follow",
  );
}

/** How a configuration is only looked at. */
export interface JoinCheck {
  readonly isCheck: boolean;
  readonly areFilesElsewhere: boolean;
}

const NO_CHECK: JoinCheck = { isCheck: false, areFilesElsewhere: false };
/** A pool, as long as nobody has said which. */
const SOME_POOL = "unknown";

/**
 * Joins if `--join` is given, and answers the arguments with which to go on. For a check nobody is asked: what
 * the join would make known, and is not known yet, has a value that fits.
 */
export async function joinFirst(
  args: readonly string[],
  role: JoinedRole,
  { isCheck, areFilesElsewhere }: JoinCheck = NO_CHECK,
): Promise<JoinedArguments> {
  const joinFile = valueOf(args, "--join");
  const edge = valueOf(args, "--edge");
  // What is wrong with the others is said by who reads them.
  if (joinFile === null || edge === null || args.includes("--help")) return { args, tokenFile: null };
  if (valueOf(args, "--token-file") !== null)
    throw optionInvalid(
      "--token-file and --join are not given together: by a join this machine gets its token.",
    );
  const allowPlainHttp = args.includes(ALLOW_PLAIN_HTTP);
  const url = securely("--edge", readUrl("--edge", edge), { allowPlainHttp });
  const stateDirectory = valueOf(args, "--state") ?? DEFAULT_STATE;
  const options = { edge: url, joinFile, stateDirectory, role };
  const foreseen = (): Promise<Joined> | Joined =>
    areFilesElsewhere ? { tokenFile: "-", pools: [] } : foreseenJoin(options);
  const { tokenFile, pools } = await (isCheck ? foreseen() : ensureJoined(options));
  const more = [`--token-file=${tokenFile}`];
  if (valueOf(args, "--state") === null) more.push(`--state=${stateDirectory}`);
  if (valueOf(args, "--pool") === null) more.push(`--pool=${pools[0] ?? (isCheck ? SOME_POOL : "")}`);
  if (role === "host" && valueOf(args, "--listen") === null) {
    // The machine that looks may have no way to the edge.
    const place = isCheck ? placeTowards(url).catch(() => NO_PLACE) : placeTowards(url);
    more.push(`--listen=${await place}`);
  }
  return { args: [...args, ...more], tokenFile };
}

/** Where the edge finds this machine if the way there is the way back. */
async function placeTowards(edge: URL): Promise<string> {
  const host = edge.hostname.replace(/^\[|\]$/g, "");
  const socket = createSocket(host.includes(":") ? "udp6" : "udp4");
  try {
    // Nothing is sent: the kernel says from which address it would be.
    socket.connect(Number(edge.port) || 443, host);
    await once(socket, "connect");
    const { address } = socket.address();
    return address.includes(":") ? `[${address}]:${GATEWAY_PORT}` : `${address}:${GATEWAY_PORT}`;
  } catch (fault) {
    throw optionInvalid(
      `--listen is needed: by which address the edge reaches this machine cannot be seen (${(fault as Error).message}).`,
    );
  } finally {
    socket.close();
  }
}

function valueOf(args: readonly string[], option: string): string | null {
  const at = args.indexOf(option);
  if (at >= 0) return args[at + 1] ?? null;
  const joined = args.find((arg) => arg.startsWith(`${option}=`));
  return joined === undefined ? null : joined.slice(option.length + 1);
}

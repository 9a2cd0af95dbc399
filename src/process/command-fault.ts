/** Why a command cannot do what it was asked, and how it says so: in one line, with a stable code. [AG1] [CI1] */

import { printableLines } from "./printable.ts";

/** By which programs tell them apart: what each means. `npm run docs` puts them into the reference. [CI1] */
export const COMMAND_FAULTS = {
  "option-invalid": "An option or argument is missing, unknown, or not of its form. The sentence names it.",
  "file-invalid":
    "A configuration, policy or pool file cannot be read, or says what cannot be. Each mistake has its line.",
  "plain-http-refused":
    "A token would travel over plain HTTP between machines. Use TLS or a tunnel, or say --allow-plain-http.",
  // Of agents and routers.
  "token-unreadable": "The token file cannot be read, or what is in it is no token.",
  "token-role": "The token is good, but of another role than this program needs.",
  "join-failed": "The machine could not trade its join token for a token of its own.",
  "state-in-use": "Another process uses the state directory. One directory is for one agent, router or edge.",
  "state-unusable": "A file or directory cannot be used: its rights, its disk, or what is in it.",
  "state-copied": "The state directory was begun on another machine. See --copied-state.",
  "listen-failed": "The address and port cannot be listened on.",
  "kernel-unavailable": "The kernel lacks what was required, or this user may not change it.",
  "data-process-lost": "A data process ended before it listened; the log above says why.",
  // Of keys, and of the edge and what is started around it.
  "output-failed": "The result could not be written to standard output.",
  "context-unusable": "The file of contexts cannot be read, or has no such context.",
  "key-missing": "There is no such key. Make it with ipshard keys.",
  "key-malformed": "A key file does not hold the key that it should.",
  "already-running": "What was to be started runs already from this state directory.",
  "port-taken": "Another program listens on a port that is needed.",
  "address-missing": "This machine does not have an address that is needed.",
  "edge-config-invalid": "wrangler.toml or the Worker's source is not what the edge can be made of.",
  "workerd-unusable":
    "The program workerd, which runs the edge, is missing, or too old for wrangler.toml. The sentence says how to install it.",
  "edge-not-answering": "The edge cannot be reached, or what answers is no edge.",
  "edge-refused": "The edge refused the request. Its own code is in the sentence.",
  "edge-still-runs": "The edge that is to be replaced answers still. Two edges would grant the same ports.",
  "copy-of-another": "The edge that answers has other keys than the copy of it.",
  "copy-too-large": "A database of the edge is larger than the edge has said, or than any is taken.",
  "copy-too-old": "A copy of an edge is older than was asked for.",
  // What an operator asked for would end what runs.
  "flows-at-risk": "It would cut connections that run. Drain first, or say that it may.",
  "not-confirmed": "The question was not answered with yes; nothing was changed.",
  "hosts-not-ready": "Hosts did not serve in time.",
  "child-kept-dying": "A process that the command looks after ended again and again.",
} as const satisfies Readonly<Record<string, string>>;

/** One of them. */
export type CommandFaultCode = keyof typeof COMMAND_FAULTS;

/** Ends a command; `message` says to a person what happened and what to do about it. */
export class CommandFault extends Error {
  override readonly name = "CommandFault";
  readonly code: CommandFaultCode;

  constructor(code: CommandFaultCode, message: string, cause?: unknown) {
    super(message, { cause });
    this.code = code;
  }
}

const LISTEN_REASONS: ReadonlyMap<string | undefined, string> = new Map([
  ["EADDRINUSE", "another program listens there"],
  ["EADDRNOTAVAIL", "this machine has no such address"],
  ["EACCES", "this user may not listen on such a low port"],
]);

/** Why a place cannot be listened on, in words. */
export function listenReason(fault: unknown): string {
  const { code, message } = fault as NodeJS.ErrnoException;
  return LISTEN_REASONS.get(code) ?? message;
}

/** Runs a command; one that cannot do what it was asked says so, and exits with 1 unless it has chosen another code. */
export async function begin(command: string, run: () => Promise<void>): Promise<void> {
  try {
    await run();
  } catch (fault) {
    if (!(fault instanceof CommandFault)) throw fault;
    // Files, edges and hosts have their words in it.
    const message = printableLines(fault.message.replaceAll("\t", " "));
    console.error(`${command}: ${message} [${fault.code}]`);
    process.exitCode ??= 1;
  }
}

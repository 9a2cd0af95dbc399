/** Why a command cannot do what it was asked, and how it says so: in one line, with a stable code. [AG1] [CI1] */

/** By which programs tell them apart. */
export type CommandFaultCode =
  | "option-invalid"
  | "file-invalid"
  | "plain-http-refused"
  // Of agents and routers.
  | "token-unreadable"
  | "token-role"
  | "join-failed"
  | "state-in-use"
  | "state-unusable"
  | "state-copied"
  | "listen-failed"
  | "kernel-unavailable"
  | "data-process-lost"
  // Of keys, and of the edge and what is started around it.
  | "output-failed"
  | "context-unusable"
  | "key-missing"
  | "key-malformed"
  | "already-running"
  | "port-taken"
  | "address-missing"
  | "edge-config-invalid"
  | "workerd-unusable"
  | "edge-not-answering"
  | "edge-refused"
  // What an operator asked for would end what runs.
  | "flows-at-risk"
  | "not-confirmed"
  | "hosts-not-ready"
  | "child-kept-dying";

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
    console.error(`${command}: ${fault.message} [${fault.code}]`);
    process.exitCode ??= 1;
  }
}

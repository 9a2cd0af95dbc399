/** Why a command cannot do what it was asked, and how it says so: in one line, with a stable code. [AG1] [CI1] */

/** By which programs tell them apart. */
export type CommandFaultCode =
  | "option-invalid"
  // Of agents and routers.
  | "token-unreadable"
  | "token-role"
  | "state-in-use"
  | "state-unusable"
  | "state-copied"
  | "listen-failed"
  | "kernel-unavailable"
  // Of keys, and of the edge and what is started around it.
  | "output-failed"
  | "key-missing"
  | "key-malformed"
  | "already-running"
  | "port-taken"
  | "address-missing"
  | "edge-config-invalid"
  | "edge-not-answering"
  | "edge-refused"
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

/** Why a place cannot be listened on, in words. */
export function listenReason(fault: unknown): string {
  const { code, message } = fault as NodeJS.ErrnoException;
  switch (code) {
    case "EADDRINUSE":
      return "another program listens there";
    case "EADDRNOTAVAIL":
      return "this machine has no such address";
    case "EACCES":
      return "this user may not listen on such a low port";
    default:
      return message;
  }
}

/** Runs a command; one that cannot do what it was asked says so, and exits with 1. */
export async function begin(command: string, run: () => Promise<void>): Promise<void> {
  try {
    await run();
  } catch (fault) {
    if (!(fault instanceof CommandFault)) throw fault;
    console.error(`${command}: ${fault.message} [${fault.code}]`);
    process.exitCode = 1;
  }
}

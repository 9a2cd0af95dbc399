/** Why a command could not do what it was asked: shown to a person, told apart by its code. */
export type CommandFaultCode =
  | "option-invalid"
  | "key-missing"
  | "key-malformed"
  | "already-running"
  | "port-taken"
  | "address-missing"
  | "state-unusable"
  | "edge-config-invalid"
  | "edge-not-answering"
  | "edge-refused"
  | "hosts-not-ready"
  | "child-kept-dying";

/** Ends a command; `message` says what happened and what to do about it. [CI1] */
export class CommandFault extends Error {
  override readonly name = "CommandFault";
  readonly code: CommandFaultCode;

  constructor(code: CommandFaultCode, message: string, cause?: unknown) {
    super(message, { cause });
    this.code = code;
  }
}

const FILE_FAULTS: ReadonlySet<string> = new Set([
  "EACCES",
  "EDQUOT",
  "EEXIST",
  "EISDIR",
  "ENOENT",
  "ENOSPC",
  "ENOTDIR",
  "EPERM",
  "EROFS",
]);

/** What a fault is to the person who gave the command; null for one that nobody foresaw. */
export function asCommandFault(fault: unknown): CommandFault | null {
  if (fault instanceof CommandFault) return fault;
  const { code, path, message } = fault as NodeJS.ErrnoException;
  if (code === undefined || path === undefined || !FILE_FAULTS.has(code)) return null;
  return new CommandFault("state-unusable", `The state directory cannot be used: ${message}`, fault);
}

/** Why a command could not do what it was asked: shown to a person, told apart by its code. */
export type CommandFaultCode =
  | "option-invalid"
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

/** Ends a command; `message` says what happened and what to do about it. [CI1] */
export class CommandFault extends Error {
  override readonly name = "CommandFault";
  readonly code: CommandFaultCode;

  constructor(code: CommandFaultCode, message: string, cause?: unknown) {
    super(message, { cause });
    this.code = code;
  }
}

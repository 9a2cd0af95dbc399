/** Why an agent or a router cannot start: shown to a person, told apart by its code. */
export type StartFaultCode =
  | "option-invalid"
  | "token-unreadable"
  | "token-role"
  | "state-in-use"
  | "state-unusable"
  | "listen-failed"
  | "kernel-unavailable";

/** Ends a start; `message` says what happened and what to do about it. */
export class StartFault extends Error {
  override readonly name = "StartFault";
  readonly code: StartFaultCode;

  constructor(code: StartFaultCode, message: string, cause?: unknown) {
    super(message, { cause });
    this.code = code;
  }
}

/** Why an agent cannot run: shown to a person, told apart by its code. */
export type AgentFaultCode =
  | "option-invalid"
  | "token-unreadable"
  | "token-role"
  | "state-in-use"
  | "state-unusable"
  | "listen-failed";

/** Ends the agent's start; `message` says what happened and what to do about it. */
export class AgentFault extends Error {
  override readonly name = "AgentFault";
  readonly code: AgentFaultCode;

  constructor(code: AgentFaultCode, message: string, cause?: unknown) {
    super(message, { cause });
    this.code = code;
  }
}

/** The kernel, or a program that speaks to it, did not do what was asked. */

/** What failed: nft refused a transaction, a program failed, is missing or does not answer. */
export type KernelFaultCode =
  | "transaction-refused"
  | "command-failed"
  | "command-missing"
  | "command-silent"
  | "configuration-wrong";

/** Thrown by everything here that speaks to the kernel; the message has the program's own words. */
export class KernelFault extends Error {
  override readonly name = "KernelFault";
  readonly code: KernelFaultCode;

  constructor(code: KernelFaultCode, message: string, cause?: unknown) {
    super(message, { cause });
    this.code = code;
  }
}

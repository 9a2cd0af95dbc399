/** Programs of their own behind verbs of the command line: the agent, the router, the doctors. */
import { type OwnProgram, ownProgram } from "../../process/own-files.ts";

/** A program that a verb stands for. */
export type Program = Exclude<OwnProgram, "cli" | "data-process">;

/** What V8 is told when a program starts. An agent clears away itself what it has streamed. */
const V8_FLAGS: Partial<Record<Program, readonly string[]>> = { agent: ["--expose-gc"] };

/** The command line of a program with these arguments. */
export function commandOf(program: Program, args: readonly string[]): string[] {
  return [process.execPath, ...(V8_FLAGS[program] ?? []), ownProgram(program), ...args];
}

/**
 * Replaces this process by the program, as exec(2) does: same pid, same terminal, and no one between
 * it and its signals. Returns only by throwing.
 */
export function exec(
  program: Program,
  args: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): never {
  if (process.execve === undefined) throw new Error("this Node cannot replace its process; Node 22.15 can");
  return process.execve(process.execPath, commandOf(program, args), { ...process.env, ...environment });
}

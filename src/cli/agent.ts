/** `ipshard agent`: becomes the host agent, which is a program of its own. */
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const AGENT_MAIN = fileURLToPath(new URL("../agent/main.ts", import.meta.url));

/**
 * What an agent finds in its environment, for the sake of its memory: types are stripped once
 * and not at every start (28 MB, and a quicker start), and all threads share one arena, in which
 * the buffers that one has freed serve the next (13 MB).
 */
export const AGENT_ENVIRONMENT = {
  NODE_COMPILE_CACHE: join(tmpdir(), "node-compile-cache"),
  MALLOC_ARENA_MAX: "1",
} as const;

/** The command line of an agent with these arguments. */
export function agentCommand(args: readonly string[]): string[] {
  return [process.execPath, AGENT_MAIN, ...args];
}

/**
 * Replaces this process by the agent: same pid, same terminal, and no one between it and its
 * signals. Returns only by throwing.
 */
export function becomeAgent(args: readonly string[]): never {
  if (process.execve === undefined) throw new Error("this Node cannot replace its process; Node 24 can");
  return process.execve(process.execPath, agentCommand(args), { ...process.env, ...AGENT_ENVIRONMENT });
}

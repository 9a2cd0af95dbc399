/** How an agent is started here: its command line, and an environment in which it stays small. */
import { compileCache } from "./compile-cache.ts";
import { commandOf } from "./exec.ts";

/**
 * What an agent finds in its environment, for the sake of its memory: types are stripped once
 * and not at every start (28 MB, and a quicker start), and all threads share one arena, in which
 * the buffers that one has freed serve the next (13 MB).
 */
export function agentEnvironment(): Record<string, string> {
  const cache = compileCache();
  return { MALLOC_ARENA_MAX: "1", ...(cache === null ? {} : { NODE_COMPILE_CACHE: cache }) };
}

/** The command line of an agent with these arguments. */
export function agentCommand(args: readonly string[]): string[] {
  return commandOf("agent", args);
}

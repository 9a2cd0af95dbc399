/** `ipshard agent`: becomes the host agent, which is a program of its own. */
import { fileURLToPath } from "node:url";

const AGENT_MAIN = fileURLToPath(new URL("../agent/main.ts", import.meta.url));

/**
 * What Node is told before it runs an agent: V8 clears dead stream buffers after 2 MB of them
 * instead of 32, which keeps an agent under 150 MB whatever it streams.
 */
const NODE_OPTIONS = ["--max-semi-space-size=1"];

/** The command line of an agent with these arguments. */
export function agentCommand(args: readonly string[]): string[] {
  return [process.execPath, ...NODE_OPTIONS, AGENT_MAIN, ...args];
}

/**
 * Replaces this process by the agent: same pid, same terminal, and no one between it and its
 * signals. Returns only by throwing.
 */
export function becomeAgent(args: readonly string[]): never {
  if (process.execve === undefined) throw new Error("this Node cannot replace its process; Node 24 can");
  return process.execve(process.execPath, agentCommand(args), process.env);
}

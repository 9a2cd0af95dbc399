/** `ipshard router`: becomes the steering router, which is a program of its own. */
import { fileURLToPath } from "node:url";

const ROUTER_MAIN = fileURLToPath(new URL("../router/main.ts", import.meta.url));

/** Replaces this process by the router: same pid, same signals. Returns only by throwing. */
export function becomeRouter(args: readonly string[]): never {
  if (process.execve === undefined) throw new Error("this Node cannot replace its process; Node 24 can");
  return process.execve(process.execPath, [process.execPath, ROUTER_MAIN, ...args], process.env);
}

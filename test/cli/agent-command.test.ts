/** How the command line starts an agent. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { agentCommand } from "../../src/cli/supervision/agent-command.ts";

test("[CI15] an agent finds V8's collector where it looks for it", async () => {
  const [node, ...words] = agentCommand([]);
  const flags = words.slice(0, -1);
  expect(words.at(-1)).toMatch(/src\/agent\/main\.ts$/);
  const { stdout } = await promisify(execFile)(node!, [...flags, "-p", "typeof globalThis.gc"]);
  expect(stdout.trim()).toBe("function");
});

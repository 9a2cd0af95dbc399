#!/usr/bin/env node
// Runs src/cli/main.ts, on the Node that came with `npm ci` if this one is too old for TypeScript.
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { constants } from "node:os";
import { fileURLToPath } from "node:url";

const main = fileURLToPath(new URL("../src/cli/main.ts", import.meta.url));
const bundledNode = fileURLToPath(new URL("../node_modules/node/bin/node", import.meta.url));

if (process.features.typescript) {
  process.argv[1] = main;
  await import("../src/cli/main.ts");
} else if (existsSync(bundledNode)) {
  // This Node cannot replace its process. The other one watches it, and ends when it is killed.
  const child = spawn(bundledNode, [main, ...process.argv.slice(2)], {
    stdio: "inherit",
    env: { ...process.env, IPSHARD_LAUNCHER: String(process.pid) },
  });
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal));
  child.on("exit", (code, signal) => {
    process.exitCode = code ?? 128 + constants.signals[signal];
  });
} else {
  console.error(
    `ipshard: Node ${process.versions.node} cannot run TypeScript. Use Node 24, or run \`npm ci\`, which brings one.`,
  );
  process.exitCode = 1;
}

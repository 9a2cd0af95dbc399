#!/usr/bin/env node
/**
 * The command. In an installed package it is built; in a checkout it runs from its sources, on the Node
 * that came with `npm ci` if this one is too old for TypeScript. [PK2]
 */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { constants } from "node:os";
import { fileURLToPath } from "node:url";

const sources = new URL("../src/cli/main.ts", import.meta.url);
const built = new URL("../dist/node/cli.js", import.meta.url);
const bundledNode = fileURLToPath(new URL("../node_modules/node/bin/node", import.meta.url));

const isCheckout = existsSync(sources);
if (!isCheckout && process.execve === undefined) {
  console.error(
    `ipshard: Node ${process.versions.node} cannot run this. Use Node 22.15 or later, or 24 and newer.`,
  );
  process.exitCode = 1;
} else if (!isCheckout || process.features.typescript) {
  const main = isCheckout ? sources : built;
  process.argv[1] = fileURLToPath(main);
  await import(main.href);
} else if (existsSync(bundledNode)) {
  // This Node cannot replace its process. The other one watches it, and ends when it is killed.
  const child = spawn(bundledNode, [fileURLToPath(sources), ...process.argv.slice(2)], {
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

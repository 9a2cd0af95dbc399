/**
 * `npm run dev`: what `ipshard start` runs, but the edge is run by `wrangler dev`, which loads each change of
 * its sources at once. Of a clone alone: the package has no sources and no wrangler. [DP2]
 */
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { Command } from "commander";
import { begin } from "../process/command-fault.ts";
import { writeDevVars, workerSecrets } from "./credentials/worker-secrets.ts";
import { EDGE_NAME } from "./edge/edge-process.ts";
import { portOption } from "./options.ts";
import { makeOwnDirectory } from "../process/directories.ts";
import { commandFault } from "./output/faults.ts";
import { StatePaths } from "./state-paths.ts";
import { type EdgeProgram, PORT_COUNT, runStart } from "./one-machine/run.ts";

const STOP_GRACE_MS = 5_000;

/** Keys of its own, so that those of an edge that serves somebody come into no file of wrangler's. */
const DEV_STATE = ".ipshard/dev";

const byWrangler: EdgeProgram = async (state, _keys, { host, port }) => {
  await writeDevVars(".dev.vars", await workerSecrets(state));
  makeOwnDirectory(state.edge);
  const args = ["dev", "--ip", host, "--port", String(port), "--inspector-port", "0"];
  return {
    name: EDGE_NAME,
    command: process.execPath,
    args: [
      await wranglerProgram(),
      ...args,
      "--persist-to",
      state.edgeStorage,
      "--show-interactive-dev-session=false",
    ],
    env: { WRANGLER_SEND_METRICS: "false" },
    mark: state.edgeStorage,
    logFile: state.logFile(EDGE_NAME),
    graceMs: STOP_GRACE_MS,
  };
};

async function wranglerProgram(): Promise<string> {
  const manifest = createRequire(import.meta.url).resolve("wrangler/package.json");
  const { bin } = JSON.parse(await readFile(manifest, "utf8")) as { bin: { wrangler: string } };
  return join(dirname(manifest), bin.wrangler);
}

const dev = new Command("dev")
  .description("run the edge by wrangler dev, two hosts that share one address, and a sample origin")
  .addOption(portOption(`first of ${PORT_COUNT} ports in a row to listen on`, PORT_COUNT))
  .action(({ port }: { port: number }) => runStart(new StatePaths(DEV_STATE), port, byWrangler));

await begin("dev", async () => {
  try {
    await dev.parseAsync();
    process.exitCode ??= 0;
  } catch (fault) {
    throw commandFault(fault);
  }
});

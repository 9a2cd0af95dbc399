/** `ipshard keys secrets`: what `wrangler` takes as the secrets of the edge. [DP1] */
import type { Command } from "commander";
import { newVerb, stateOption } from "../options.ts";
import { StatePaths } from "../state-paths.ts";
import { workerSecrets, writePrivately } from "./worker-secrets.ts";

/** The verb, which prints as it is told to. */
export function secretsCommand(print: (result: string) => Promise<void>): Command {
  return newVerb(
    "secrets",
    "print the secrets of a Worker at Cloudflare, as wrangler secret bulk takes them; they hold a private key",
  )
    .option("--file <file>", "write them there instead, for its owner alone, as --secrets-file takes them")
    .addOption(stateOption())
    .action(async ({ state, file }: { state: string; file?: string }) => {
      const text = JSON.stringify(await workerSecrets(new StatePaths(state)));
      if (file === undefined) return print(text);
      await writePrivately(file, `${text}\n`);
    });
}

/** `ipshard keys secrets`: what `wrangler` takes as the secrets of the edge. [DP1] */
import { existsSync } from "node:fs";
import { dirname } from "node:path";
import type { Command } from "commander";
import { optionInvalid } from "../../process/command-options.ts";
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
      // A slip of the pen in the name must not put a private key where nobody looks for it.
      const directory = dirname(file);
      if (!existsSync(directory))
        throw optionInvalid(
          `--file ${file}: there is no directory ${directory}. Make it first: mkdir -p -m 700 ${directory}`,
        );
      await writePrivately(file, `${text}\n`);
    });
}

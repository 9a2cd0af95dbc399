/** `ipshard keys`: makes the keys if there are none, and tells what others must know of them. */
import { issuerKeySet } from "../credentials/key-files.ts";
import { newVerb, stateOption } from "../options.ts";
import { print } from "../output/print.ts";
import { StatePaths } from "../state-paths.ts";

/** The verb. */
export const keys = newVerb(
  "keys",
  "make the issuer's and the edge's keys if there are none; print the issuer's public keys",
)
  .addOption(stateOption())
  .action(async ({ state }: { state: string }) => {
    await print(await issuerKeySet(new StatePaths(state)));
  });

/** `ipshard token`: signs a token with the issuer's key. */
import { ISSUED_ROLES } from "../../core/identity.ts";
import { collect } from "../../process/command-options.ts";
import { issueToken, type TokenRequest } from "../credentials/issue-token.ts";
import { readKey } from "../credentials/key-files.ts";
import { newVerb, stateOption } from "../options.ts";
import { print } from "../output/print.ts";
import { StatePaths } from "../state-paths.ts";

interface Words extends Omit<TokenRequest, "pools"> {
  readonly pool: readonly string[];
  readonly state: string;
}

/** The verb. */
export const token = newVerb("token", "sign a token with the issuer's key")
  .requiredOption("--role <role>", ISSUED_ROLES.join(", "))
  .requiredOption("--name <name>", "whom it is for; for a host or a router, its name")
  .option("--pool <pool>", "a pool it may use, the first is its default; may be repeated", collect, [])
  .option("--ttl <time>", "how long it is valid, as in 45s, 10m, 12h, 30d", "30d")
  .addOption(stateOption())
  .action(async ({ pool, state, ...words }: Words) => {
    const key = await readKey(new StatePaths(state), "issuer");
    await print(await issueToken({ ...words, pools: pool }, key, Date.now()));
  });

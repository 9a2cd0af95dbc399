/** `ipshard login`: remembers an edge and a token for it, so that other verbs need neither. [OV2] */
import { edgeApi } from "../../api/edge-api.ts";
import { readPool, readUrl, withExamples } from "../../process/command-options.ts";
import { ALLOW_PLAIN_HTTP, securely } from "../../process/plain-http-option.ts";
import { readName } from "../read-address.ts";
import { contextsFile, readContexts, writeContexts } from "../contexts/context-file.ts";
import { ownToken, readTokenFile } from "../credentials/operator.ts";
import { newVerb, stateOption } from "../options.ts";
import { answer, jsonOption } from "../output/answer.ts";
import { printable } from "../output/terminal-text.ts";
import { StatePaths } from "../state-paths.ts";

interface Words {
  readonly edge: string;
  readonly name: string;
  readonly tokenFile?: string;
  readonly clientTokenFile?: string;
  readonly pool?: string;
  readonly allowPlainHttp?: true;
  readonly state: string;
  readonly json?: true;
}

/** As long as tokens last that nobody says anything else of. */
const OWN_TOKEN_TTL = "30d";

/** The verb. */
export const login = withExamples(
  newVerb("login", "remember an edge and a token for it, so that other verbs need neither")
    .requiredOption("--edge <url>", "where the edge is")
    .option("--name <name>", "what this context is called", "default")
    .option(
      "--token-file <file>",
      "a token of the role admin, - for standard input (default: one for 30 days, made with the issuer's key)",
    )
    .option("--client-token-file <file>", "a token of the role client besides, for `ipshard fetch`")
    .option("--pool <name>", "the pool that is meant where none is named")
    .option(ALLOW_PLAIN_HTTP, "let the token travel over plain HTTP beyond this machine")
    .addOption(stateOption())
    .addOption(jsonOption())
    .action(async ({ state, name: given, json, ...words }: Words) => {
      const name = readName("context", given);
      const allowPlainHttp = words.allowPlainHttp === true;
      const edge = securely("--edge", readUrl("--edge", words.edge), { allowPlainHttp });
      const token =
        words.tokenFile === undefined
          ? await ownToken(new StatePaths(state), OWN_TOKEN_TTL)
          : await readTokenFile(words.tokenFile);
      // What cannot be used is not remembered.
      const api = edgeApi({ edge, token: () => token, allowPlainHttp });
      const { pools } = await api.listPools();
      if (words.tokenFile === undefined) await api.registerToken({ token });
      if (words.pool !== undefined) await api.getPool({ pool: readPool(words.pool) });
      const client = words.clientTokenFile === undefined ? null : await readTokenFile(words.clientTokenFile);
      const { contexts } = await readContexts();
      const context = {
        edge: edge.href,
        token,
        ...(client === null ? {} : { clientToken: client }),
        ...(words.pool === undefined ? {} : { pool: words.pool }),
        ...(allowPlainHttp ? { allowPlainHttp } : {}),
      };
      await writeContexts({ current: name, contexts: { ...contexts, [name]: context } });
      const file = contextsFile();
      await answer(json, { name, edge: edge.href, pools, file }, () => {
        const seen = pools.length === 0 ? "no pool yet" : `pools: ${printable(pools.join(", "))}`;
        return `Context ${name} is the current one: ${edge.href} (${seen}), kept in ${file}.`;
      });
    }),
  [
    "login --edge https://edge.example --token-file admin.token --pool eu",
    "login --edge http://127.0.0.1:8787",
  ],
);

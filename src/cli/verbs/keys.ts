/** `ipshard keys`: makes the keys if there are none, tells what others must know of them, and replaces them. */
import { issuerKeySet } from "../credentials/key-files.ts";
import { secretsCommand } from "../credentials/secrets-command.ts";
import { retireKey, rotateIssuerKey } from "../credentials/key-rotation.ts";
import { operatorFor, type OperatorWords, withOperator } from "../credentials/operator.ts";
import { withExamples } from "../../process/command-options.ts";
import { newVerb, stateOption } from "../options.ts";
import { answer, jsonOption } from "../output/answer.ts";
import { print } from "../output/print.ts";
import { table } from "../output/terminal-text.ts";
import { StatePaths } from "../state-paths.ts";

type Words = OperatorWords & { readonly json?: true };

const show = newVerb(
  "show",
  "make the issuer's and the edge's keys if there are none; print the issuer's public keys",
)
  .addOption(stateOption())
  .action(async ({ state }: { state: string }) => {
    await print(await issuerKeySet(new StatePaths(state)));
  });

const list = withOperator(newVerb("list", "list the keys by which tokens count at the edge"))
  .addOption(jsonOption())
  .action(async ({ json, ...by }: Words) => {
    const { keys } = await (await operatorFor(by)).api.listKeys();
    const rows = keys.map(({ kid, kind, source, isSigning, isTrusted, signsFromMs, retiredAtMs }) => {
      const signs = signsFromMs === null ? "" : ` (signs from ${new Date(signsFromMs).toISOString()})`;
      const retired = retiredAtMs === null ? "" : new Date(retiredAtMs).toISOString();
      const standing = isSigning ? "signing" : isTrusted ? `trusted${signs}` : `retired ${retired}`;
      return [kid, kind, source, standing];
    });
    await answer(json, keys, () => table(["ID", "KIND", "FROM", "STATE"], rows));
  });

const rotate = withOperator(
  newVerb("rotate", "make a new issuer's key, which the edge trusts beside the former one"),
)
  .option("--edge-key", "make a new key of the edge instead: it signs from 10 minutes later on")
  .addOption(jsonOption())
  .action(async ({ edgeKey, json, ...by }: Words & { edgeKey?: true }) => {
    const { api } = await operatorFor(by);
    if (edgeKey !== true) {
      const kid = await rotateIssuerKey(api, new StatePaths(by.state));
      return answer(json, { kid }, () => kid);
    }
    const { keys } = await api.rotateEdgeKey({});
    const made = keys
      .filter(({ kind }) => kind === "edge")
      .toSorted((a, b) => (b.addedAtMs ?? 0) - (a.addedAtMs ?? 0))[0];
    await answer(json, { kid: made?.kid ?? null }, () => made?.kid ?? "");
  });

const retire = withOperator(
  newVerb("retire", "put a key out of use for good, and with it all tokens that it signed"),
)
  .argument("<kid>", "the id of the key, as it is listed")
  .addOption(jsonOption())
  .action(async (kid: string, { json, ...by }: Words) => {
    const { api } = await operatorFor(by);
    const said = await retireKey(api, kid, new StatePaths(by.state));
    await answer(json, { kid, said }, () => said);
  });

/** The verb. Without a further word it shows. */
export const keys = withExamples(
  newVerb("keys", "make the keys if there are none, print the public ones; list and replace them")
    .addCommand(show, { isDefault: true })
    .addCommand(secretsCommand(print))
    .addCommand(list)
    .addCommand(rotate)
    .addCommand(retire),
  [
    "keys show",
    "keys secrets --file edge-secrets.json",
    "keys rotate",
    "keys list",
    "keys retire issuer:2-d_f9PRoaBBuYZD",
  ],
);

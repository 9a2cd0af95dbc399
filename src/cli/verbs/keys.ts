/** `ipshard keys`: makes the keys if there are none, tells what others must know of them, and replaces them. */
import { issuerKeySet } from "../credentials/key-files.ts";
import { retireKey, rotateIssuerKey } from "../credentials/key-rotation.ts";
import {
  adminTokenOption,
  edgeOption,
  operatorApi,
  type OperatorWords,
  plainHttpOption,
} from "../credentials/operator.ts";
import { newVerb, stateOption } from "../options.ts";
import { print } from "../output/print.ts";
import { StatePaths } from "../state-paths.ts";

type Words = OperatorWords & { readonly state: string };

const show = newVerb(
  "show",
  "make the issuer's and the edge's keys if there are none; print the issuer's public keys",
)
  .addOption(stateOption())
  .action(async ({ state }: { state: string }) => {
    await print(await issuerKeySet(new StatePaths(state)));
  });

const list = newVerb("list", "list the keys by which tokens count at the edge")
  .addOption(edgeOption())
  .addOption(adminTokenOption())
  .addOption(plainHttpOption())
  .addOption(stateOption())
  .action(async ({ state, ...by }: Words) => {
    const { keys } = await (await operatorApi(by, new StatePaths(state))).listKeys();
    const lines = keys.map(({ kid, kind, source, isSigning, isTrusted, signsFromMs, retiredAtMs }) => {
      const signs = signsFromMs === null ? "" : ` (signs from ${new Date(signsFromMs).toISOString()})`;
      const retired = retiredAtMs === null ? "" : new Date(retiredAtMs).toISOString();
      const standing = isSigning ? "signing" : isTrusted ? `trusted${signs}` : `retired ${retired}`;
      return [kid, kind, source, standing].join("\t");
    });
    await print(["ID\tKIND\tFROM\tSTATE", ...lines].join("\n"));
  });

const rotate = newVerb("rotate", "make a new issuer's key, which the edge trusts beside the former one")
  .option("--edge-key", "make a new key of the edge instead: it signs from 10 minutes later on")
  .addOption(edgeOption())
  .addOption(adminTokenOption())
  .addOption(plainHttpOption())
  .addOption(stateOption())
  .action(async ({ state, edgeKey, ...by }: Words & { edgeKey?: true }) => {
    const paths = new StatePaths(state);
    const api = await operatorApi(by, paths);
    if (edgeKey !== true) return print(await rotateIssuerKey(api, paths));
    const { keys } = await api.rotateEdgeKey({});
    const made = keys
      .filter(({ kind }) => kind === "edge")
      .toSorted((a, b) => (b.addedAtMs ?? 0) - (a.addedAtMs ?? 0))[0];
    await print(made?.kid ?? "");
  });

const retire = newVerb("retire", "put a key out of use for good, and with it all tokens that it signed")
  .argument("<kid>", "the id of the key, as it is listed")
  .addOption(edgeOption())
  .addOption(adminTokenOption())
  .addOption(plainHttpOption())
  .addOption(stateOption())
  .action(async (kid: string, { state, ...by }: Words) => {
    const paths = new StatePaths(state);
    await print(await retireKey(await operatorApi(by, paths), kid, paths));
  });

/** The verb. Without a further word it shows. */
export const keys = newVerb(
  "keys",
  "make the keys if there are none, print the public ones; list and replace them",
)
  .addCommand(show, { isDefault: true })
  .addCommand(list)
  .addCommand(rotate)
  .addCommand(retire);

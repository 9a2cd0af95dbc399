/**
 * `ipshard router`: the steering router takes this process's place; `router add NAME` brings one in, and
 * `router list` says how far each has come.
 */
import type { Command } from "commander";
import { routersText } from "../administration/pool-text.ts";
import { addCommand } from "../credentials/join-command.ts";
import { operatorFor, type OperatorWords, poolMeant, withOperator } from "../credentials/operator.ts";
import { withExamples } from "../../process/command-options.ts";
import { newVerb, poolOption, programVerb } from "../options.ts";
import { answer, jsonOption } from "../output/answer.ts";
import { exec } from "../supervision/exec.ts";

/** What is not for a router itself, by its word. */
export const ROUTER_OPERATORS: Readonly<Record<string, () => Command>> = {
  add: () => addCommand("router"),
  list: () => withExamples(listCommand(), ["router list --pool eu"]),
};

/** The verb. */
export const router = programVerb(
  "router",
  "steer returning packets to their hosts; `router add` and `router list` are for operators",
  async (args) => {
    const [word = "", ...rest] = args;
    if (!Object.hasOwn(ROUTER_OPERATORS, word)) exec("router", args);
    await ROUTER_OPERATORS[word]!().name(`ipshard router ${word}`).parseAsync(rest, { from: "user" });
  },
);

function listCommand(): Command {
  return withOperator(
    newVerb("list", "list the routers of a pool, and how much of its table each has applied"),
  )
    .addOption(poolOption())
    .addOption(jsonOption())
    .action(async ({ json, pool: named, ...by }: OperatorWords & { json?: true; pool?: string }) => {
      const operator = await operatorFor(by);
      const pool = await operator.api.getPool({ pool: await poolMeant(named, operator) });
      const { routers } = pool;
      await answer(json, routers, () =>
        routers.length === 0 ? "No router has come yet." : routersText(pool),
      );
    });
}

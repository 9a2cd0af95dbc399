/** `ipshard pool`: makes pools, changes their settings, and shows them. [OV5] */
import { collect, withExamples } from "../../process/command-options.ts";
import { confirmDangers } from "../administration/confirm-dangers.ts";
import { poolsText, poolText } from "../administration/pool-text.ts";
import { readName } from "../read-address.ts";
import { readSettings } from "../administration/read-settings.ts";
import { operatorFor, type OperatorWords, poolMeant, withOperator } from "../credentials/operator.ts";
import { newVerb } from "../options.ts";
import { poolAt } from "../desired/pool-at.ts";
import { answer, jsonOption } from "../output/answer.ts";

type Words = OperatorWords & { readonly json?: true };
type ChangeWords = Words & { readonly yes?: true };
type SetWords = ChangeWords & { readonly set: readonly string[] };

const YES = "do without asking what may harm who sends now";
const SET = "a setting, as in quarantineMs=60s; may be repeated";

const list = withOperator(newVerb("list", "list the pools, with what they have"))
  .addOption(jsonOption())
  .action(async ({ json, ...by }: Words) => {
    const { api } = await operatorFor(by);
    const { pools: names } = await api.listPools();
    const pools = await Promise.all(names.map((pool) => api.getPool({ pool })));
    await answer(json, pools, () => poolsText(pools));
  });

const show = withOperator(newVerb("show", "show a pool: settings, addresses, hosts and routers"))
  .argument("[pool]", "its name (default: that of the context, or the only one there is)")
  .addOption(jsonOption())
  .action(async (name: string | undefined, { json, ...by }: Words) => {
    const operator = await operatorFor(by);
    const pool = await operator.api.getPool({ pool: await poolMeant(name, operator) });
    await answer(json, pool, () => poolText(pool));
  });

const add = withOperator(newVerb("add", "make a pool; one that is there keeps what is not given"))
  .argument("<pool>", "its name")
  .option("--set <setting=value>", SET, collect, [])
  .option("--yes", YES)
  .addOption(jsonOption())
  .action(async (name: string, { json, yes, set: words, ...by }: SetWords) => {
    const settings = readSettings(words);
    const asked = readName("pool", name);
    const { api } = await operatorFor(by);
    if (yes !== true) await confirmDangers((await poolAt(api, asked))?.settings ?? null, settings);
    const pool = await api.putPool({ pool: asked, settings });
    await answer(json, pool, () => poolText(pool));
  });

const set = withOperator(newVerb("set", "change settings of a pool that is there"))
  .argument("<pool>", "its name")
  .argument("<setting=value...>", "settings, as in quarantineMs=60s minHostsPerIp=2 published=true")
  .option("--yes", YES)
  .addOption(jsonOption())
  .action(async (name: string, words: readonly string[], { json, yes, ...by }: ChangeWords) => {
    const settings = readSettings(words);
    const { api } = await operatorFor(by);
    // A slip of the pen in the name would make a pool.
    const { pool, settings: before } = await api.getPool({ pool: readName("pool", name) });
    if (yes !== true) await confirmDangers(before, settings);
    const changed = await api.putPool({ pool, settings });
    await answer(json, changed, () => poolText(changed));
  });

/** The verb. */
export const pool = withExamples(
  newVerb("pool", "make, change and show pools")
    .addCommand(list)
    .addCommand(show)
    .addCommand(add)
    .addCommand(set),
  [
    "pool list",
    "pool add eu --set minHostsPerIp=2",
    "pool set eu quarantineMs=60s",
    "pool set lab quarantineMs=5s --yes",
    "pool show eu --json",
  ],
);

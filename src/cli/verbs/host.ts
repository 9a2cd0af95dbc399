/** `ipshard host`: brings hosts in, shows them, and takes them out for maintenance or for good. [OV5] */
import type { EdgeApi } from "../../api/edge-api.ts";
import { optionInvalid, withExamples } from "../../process/command-options.ts";
import { watchDrain } from "../administration/drain-watch.ts";
import { hostsText, type PoolHost } from "../administration/pool-text.ts";
import { readName } from "../read-address.ts";
import { addCommand } from "../credentials/join-command.ts";
import { operatorFor, type OperatorWords, poolMeant, withOperator } from "../credentials/operator.ts";
import { newVerb, poolOption } from "../options.ts";
import { answer, jsonOption } from "../output/answer.ts";

type Words = OperatorWords & { readonly json?: true; readonly pool?: string };

/** Of the table of hosts. */
const COLUMNS = `
PORTS: how many its busiest destination uses, of all that the host holds. A port serves many destinations at once, so
       what matters is the one that most of them are in use for.`;

const list = withOperator(newVerb("list", "list the hosts of a pool"))
  .addHelpText("after", COLUMNS)
  .addOption(poolOption())
  .addOption(jsonOption())
  .action(async ({ json, pool: named, ...by }: Words) => {
    const operator = await operatorFor(by);
    const pool = await poolMeant(named, operator);
    const { hosts, policyVersion } = await operator.api.getPool({ pool });
    await answer(json, hosts, () => hostsText(hosts, policyVersion));
  });

const show = withOperator(newVerb("show", "show a host in every pool that knows it"))
  .argument("<host>", "its name")
  .addOption(jsonOption())
  .action(async (name: string, { json, ...by }: Words) => {
    const found = await (await operatorFor(by)).api.getHost({ host: readName("host", name) });
    const text = (): string =>
      found.pools.map((known) => `Pool ${known.pool}\n${hostsText([known])}`).join("\n\n");
    await answer(json, found, text);
  });

const drain = withOperator(
  newVerb("drain", "empty a host, for maintenance: others take over, and no flow is cut"),
)
  .argument("<host>", "its name")
  .addOption(poolOption())
  .option("--no-wait", "do not wait until it is empty")
  .addOption(jsonOption())
  .action(async (name: string, { json, pool: named, wait, ...by }: Words & { wait: boolean }) => {
    const host = readName("host", name);
    const { api } = await operatorFor(by);
    const pool = await poolOf(api, host, named);
    await api.drainHost({ pool, host });
    const ask = (): Promise<PoolHost | null> => hostIn(api, pool, host);
    if (wait) await watchDrain(host, async () => (await ask())?.drain ?? null);
    await answerHost(await ask(), json);
  });

const resume = withOperator(newVerb("resume", "end the drain of a host: it is assigned addresses again"))
  .argument("<host>", "its name")
  .addOption(poolOption())
  .addOption(jsonOption())
  .action(async (name: string, { json, pool: named, ...by }: Words) => {
    const host = readName("host", name);
    const { api } = await operatorFor(by);
    const pool = await poolOf(api, host, named);
    await api.resumeHost({ pool, host });
    await answerHost(await hostIn(api, pool, host), json);
  });

const forget = withOperator(newVerb("forget", "forget a host that is gone for good, and end its static slot"))
  .argument("<host>", "its name")
  .addOption(poolOption())
  .addOption(jsonOption())
  .action(async (name: string, { json, pool: named, ...by }: Words) => {
    const host = readName("host", name);
    const { api } = await operatorFor(by);
    const pool = await poolOf(api, host, named);
    const { hosts } = await api.deleteHost({ pool, host });
    await answer(json, { host, pool }, () => `${pool} has forgotten ${host}. Left: ${hosts.length}.`);
  });

/** The verb. */
export const host = withExamples(
  newVerb("host", "bring hosts in, list them, drain and resume them")
    .addCommand(addCommand("host"))
    .addCommand(list)
    .addCommand(show)
    .addCommand(drain)
    .addCommand(resume)
    .addCommand(forget),
  [
    "host add h4 --pool eu",
    "host list",
    "host show h1",
    "host drain h1",
    "host resume h1",
    "host forget h1 --pool eu",
  ],
);

/** A host is known by its pools, so only where it is in several one must be named. */
async function poolOf(api: EdgeApi, name: string, named: string | undefined): Promise<string> {
  if (named !== undefined) return named;
  const { pools } = await api.getHost({ host: name });
  if (pools.length === 1) return pools[0]!.pool;
  throw optionInvalid(
    `${name} is in several pools: say which by --pool: ${pools.map(({ pool }) => pool).join(", ")}.`,
  );
}

async function hostIn(api: EdgeApi, pool: string, name: string): Promise<PoolHost | null> {
  return (await api.listHosts({ pool })).hosts.find(({ host: known }) => known === name) ?? null;
}

async function answerHost(known: PoolHost | null, json: true | undefined): Promise<void> {
  await answer(json, known, () => (known === null ? "The pool knows it no more." : hostsText([known])));
}

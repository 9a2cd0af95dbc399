/** `ipshard ip`: gives a pool its addresses, empties them, and takes them away. [OV5] */
import type { EdgeApi } from "../../api/edge-api.ts";
import { CommandFault } from "../../process/command-fault.ts";
import { collect, optionInvalid, withExamples } from "../../process/command-options.ts";
import { watchDrain } from "../administration/drain-watch.ts";
import { ipsText, type Pool, type PoolIp } from "../administration/pool-text.ts";
import { readAddress } from "../read-address.ts";
import { operatorFor, type OperatorWords, poolMeant, withOperator } from "../credentials/operator.ts";
import { newVerb, poolOption } from "../options.ts";
import { answer, jsonOption } from "../output/answer.ts";

type Words = OperatorWords & { readonly json?: true; readonly pool?: string };
interface AboutWords extends Words {
  readonly advertised?: string;
  readonly country?: string;
  readonly site: readonly string[];
  readonly tag: readonly string[];
}

/** Takes away what was said of an address. */
const NONE = "none";

const list = withOperator(newVerb("list", "list the addresses of a pool"))
  .addOption(poolOption())
  .addOption(jsonOption())
  .action(async ({ json, pool, ...by }: Words) => {
    const operator = await operatorFor(by);
    const { ips } = await operator.api.listIps({ pool: await poolMeant(pool, operator) });
    await answer(json, ips, () => ipsText(ips));
  });

const add = withOperator(newVerb("add", "add an address to a pool, or change what is said of it"))
  .argument("<address>", "as hosts have it, and as the network sends it to the routers")
  .addOption(poolOption())
  .option("--advertised <address>", `what the Internet sees, if it differs, or ${NONE}`)
  .option("--country <code>", `where it is, as in de, or ${NONE}`)
  .option("--site <name>", `where it is announced, or ${NONE} for everywhere; may be repeated`, collect, [])
  .option("--tag <word>", `a word of your own, or ${NONE}; may be repeated`, collect, [])
  .addOption(jsonOption())
  .action(async (text: string, { json, pool, advertised, country, site, tag, ...by }: AboutWords) => {
    const ip = readAddress(text);
    const about = {
      ...(advertised === undefined
        ? {}
        : { advertised: advertised === NONE ? null : readAddress(advertised) }),
      ...(country === undefined ? {} : { country: country === NONE ? null : country }),
      ...(site.length === 0 ? {} : { sites: listOf("--site", site) }),
      ...(tag.length === 0 ? {} : { tags: listOf("--tag", tag) }),
    };
    const operator = await operatorFor(by);
    const found = await operator.api.putIp({ pool: await poolMeant(pool, operator), ip, ...about });
    await answerIp(found, ip, json);
  });

const drain = withOperator(newVerb("drain", "empty an address, which stays in the pool: no flow is cut"))
  .argument("<address>", "one of a pool")
  .addOption(poolOption())
  .option("--no-wait", "do not wait until it is empty")
  .addOption(jsonOption())
  .action(async (text: string, { json, pool: named, wait, ...by }: Words & { wait: boolean }) => {
    const ip = readAddress(text);
    const { api } = await operatorFor(by);
    const pool = await poolOf(api, ip, named);
    await api.drainIp({ pool, ip });
    const ask = async (): Promise<Pool> => api.getPool({ pool });
    if (wait) await watchDrain(ip, async () => ipIn(await ask(), ip)?.drain ?? null);
    await answerIp(await ask(), ip, json);
  });

const resume = withOperator(newVerb("resume", "end the drain of an address: hosts may serve it again"))
  .argument("<address>", "one of a pool")
  .addOption(poolOption())
  .addOption(jsonOption())
  .action(async (text: string, { json, pool, ...by }: Words) => {
    const ip = readAddress(text);
    const { api } = await operatorFor(by);
    await answerIp(await api.resumeIp({ pool: await poolOf(api, ip, pool), ip }), ip, json);
  });

const remove = withOperator(
  newVerb("remove", "take an address out of its pool: no new flows, and gone when no port of it is held"),
)
  .argument("<address>", "one of a pool")
  .addOption(poolOption())
  .option("--cut-flows", "also where hosts serve it still: what runs ends at their --drain-deadline")
  .addOption(jsonOption())
  .action(async (text: string, { json, pool: named, cutFlows, ...by }: Words & { cutFlows?: true }) => {
    const ip = readAddress(text);
    const { api } = await operatorFor(by);
    const pool = await poolOf(api, ip, named);
    const known = ipIn(await api.getPool({ pool }), ip);
    if (known !== null && isInUse(known) && cutFlows !== true) {
      throw new CommandFault(
        "flows-at-risk",
        `Hosts serve ${ip}, and cut what runs there when it is removed. Empty it first: ipshard ip drain ${ip} --pool ${pool}; or give --cut-flows.`,
      );
    }
    await answerIp(await api.deleteIp({ pool, ip }), ip, json);
  });

/** The verb. */
export const ip = withExamples(
  newVerb("ip", "give a pool its addresses, empty them, take them away")
    .addCommand(list)
    .addCommand(add)
    .addCommand(drain)
    .addCommand(resume)
    .addCommand(remove),
  [
    "ip list --pool eu",
    "ip add 192.0.2.1 --pool eu --country de",
    "ip drain 192.0.2.1",
    "ip resume 192.0.2.1",
    "ip remove 192.0.2.1",
  ],
);

function isInUse({ retiring, drain: progress }: PoolIp): boolean {
  return retiring === null && progress?.state !== "drained";
}

/** The address knows its pool, so that nobody else needs to. */
async function poolOf(api: EdgeApi, address: string, named: string | undefined): Promise<string> {
  return named ?? (await api.getIp({ ip: address })).pool;
}

function ipIn({ ips }: Pool, address: string): PoolIp | null {
  return ips.find(({ ip: known }) => known === address) ?? null;
}

async function answerIp(pool: Pool, address: string, json: true | undefined): Promise<void> {
  const known = ipIn(pool, address);
  await answer(json, known, () => (known === null ? `${address} is gone.` : ipsText([known])));
}

function listOf(option: string, words: readonly string[]): string[] {
  if (!words.includes(NONE)) return [...words];
  if (words.length === 1) return [];
  throw optionInvalid(`${option} ${NONE} stands alone.`);
}

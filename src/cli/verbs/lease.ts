/** `ipshard lease`: who may send from which ports, now and before. [OV6] */
import { MOST_LEASES } from "../../core/port-history.ts";
import { optionInvalid, readPlace, withExamples } from "../../process/command-options.ts";
import { blocksText, historyText } from "../administration/lease-text.ts";
import { readAddress } from "../read-address.ts";
import { operatorFor, type OperatorWords, poolMeant, withOperator } from "../credentials/operator.ts";
import { newVerb, poolOption } from "../options.ts";
import { answer, jsonOption } from "../output/answer.ts";

type Words = OperatorWords & { readonly json?: true };
type ListWords = Words & { readonly pool?: string; readonly host?: string };

const list = withOperator(newVerb("list", "list the blocks of an address, or of all addresses of a pool"))
  .argument("[address]", "one address (default: all of the pool)")
  .addOption(poolOption())
  .option("--host <name>", "only those of this host")
  .addOption(jsonOption())
  .action(async (address: string | undefined, { json, pool, host, ...by }: ListWords) => {
    const operator = await operatorFor(by);
    const { api } = operator;
    const ips =
      address === undefined
        ? (await api.listIps({ pool: await poolMeant(pool, operator) })).ips.map(({ ip }) => ip)
        : [readAddress(address)];
    const tables = await Promise.all(ips.map((ip) => api.getIp({ ip })));
    const blocks = tables
      .flatMap(({ blocks: ofIp }, at) =>
        ofIp.toSorted((a, b) => a.base - b.base).map((block) => Object.assign({ ip: ips[at]! }, block)),
      )
      .filter((block) => host === undefined || block.host === host);
    await answer(json, blocks, () => blocksText(blocks));
  });

const history = withOperator(newVerb("history", "say which hosts had a port, the latest first"))
  .argument("<address:port>", "as in 192.0.2.1:5312 or [2001:db8::1]:5312")
  .option("--limit <number>", `leases to go back, ${MOST_LEASES} at most`, "10")
  .addOption(jsonOption())
  .action(async (place: string, { json, limit, ...by }: Words & { limit: string }) => {
    const { host, port } = readPlace("The place", place, "192.0.2.1:5312 or [2001:db8::1]:5312");
    const ip = readAddress(host);
    const most = Number(limit);
    if (!/^\d+$/.test(limit) || most < 1 || most > MOST_LEASES)
      throw optionInvalid(`--limit ${limit} is no number from 1 to ${MOST_LEASES}.`);
    const { api } = await operatorFor(by);
    const { leases } = await api.listLeases({ ip, port: `${port}`, limit: `${most}` });
    const none = (): string => `Nobody had ${place}, as far as the table goes back.`;
    await answer(json, leases, () => (leases.length === 0 ? none() : historyText(leases)));
  });

/** The verb. */
export const lease = withExamples(
  newVerb("lease", "show who holds which ports, and who held one").addCommand(list).addCommand(history),
  ["lease list 192.0.2.1", "lease list --host h1 --json", "lease history 192.0.2.1:5312"],
);

/** `ipshard top`: a pool live: its hosts, how their use changes, and where most ports go. [OV9] */
import { setTimeout as delay } from "node:timers/promises";
import { optionInvalid, readDuration, withExamples } from "../../process/command-options.ts";
import { glanceOf, glanceText, type Look } from "../administration/top-text.ts";
import { printableJson } from "../../process/printable.ts";
import { operatorFor, type OperatorWords, poolMeant, withOperator } from "../credentials/operator.ts";
import { newVerb, poolOption } from "../options.ts";
import { jsonOption } from "../output/answer.ts";
import { print } from "../output/print.ts";

interface Words extends OperatorWords {
  readonly pool?: string;
  readonly every: string;
  readonly count?: string;
  readonly json?: true;
}

const EVERY = { leastMs: 500, mostMs: 3_600_000 };
const CLEAR = "\u001b[H\u001b[2J";

/** The verb. */
export const top = withExamples(
  withOperator(newVerb("top", "show a pool live: its hosts, how their use changes, the hottest destinations"))
    .addOption(poolOption())
    .option("--every <time>", "how often to look, as in 2s", "2s")
    .option(
      "--count <number>",
      "look so many times (default: until Ctrl-C; once where the output is no terminal)",
    )
    .addOption(jsonOption())
    .action(async ({ json, pool: named, every, count, ...by }: Words) => {
      const everyMs = readDuration("--every", every, EVERY);
      const isLive = process.stdout.isTTY && json !== true;
      const most = count === undefined ? (isLive ? Infinity : 1) : readCount(count);
      const operator = await operatorFor(by);
      const { api } = operator;
      const pool = await poolMeant(named, operator);
      let before: Look | null = null;
      for (let looked = 0; looked < most; looked += 1) {
        if (looked > 0) await delay(everyMs);
        const [seen, edge] = await Promise.all([api.getPool({ pool }), api.getEdge()]);
        const now: Look = { atMs: Date.now(), pool: seen, edge };
        const glance = glanceOf(before, now);
        await print(json === true ? printableJson(glance) : `${isLive ? CLEAR : ""}${glanceText(glance)}`);
        before = now;
      }
    }),
  ["top --pool eu", "top --count 10 --every 1s --json"],
);

function readCount(text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw optionInvalid(`--count ${text} is no number from 1 on.`);
  return Number(text);
}

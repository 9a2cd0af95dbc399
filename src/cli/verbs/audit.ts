/** `ipshard audit`: what administrators changed, or tried to. [AU6] */
import { optionInvalid, withExamples } from "../../process/command-options.ts";
import { changesText, type Change } from "../attribution/change-text.ts";
import { operatorFor, type OperatorWords, poolMeant, withOperator } from "../credentials/operator.ts";
import { newVerb, poolOption } from "../options.ts";
import { answer, jsonOption } from "../output/answer.ts";

interface Words extends OperatorWords {
  readonly pool?: string;
  readonly register?: true;
  readonly limit: string;
  readonly after?: string;
  readonly json?: true;
}

/** The most that the edge gives at a time. */
const PAGE = 200;
const MOST = 100_000;

/** The verb. */
export const audit = withExamples(
  withOperator(newVerb("audit", "say what administrators changed in a pool, or tried to, the latest last"))
    .addOption(poolOption())
    .option("--register", "the log of tokens, keys and joins instead, for administrators of every pool")
    .option("--limit <number>", "the newest so many", "50")
    .option("--after <sequence>", "all that came after this entry instead; 0 for everything that is kept")
    .addOption(jsonOption())
    .action(async ({ pool, register, limit, after, json, ...by }: Words) => {
      if (register === true && pool !== undefined)
        throw optionInvalid("--register and --pool exclude each other: each pool has a log of its own.");
      const count = readCount("--limit", limit, 1);
      const since = after === undefined ? null : readCount("--after", after, 0);
      const operator = await operatorFor(by);
      const of = register === true ? {} : { pool: await poolMeant(pool, operator) };
      const ask = async (page: { after?: number; before?: number; limit: number }): Promise<Change[]> => {
        const { entries } = await operator.api.listChanges({
          ...of,
          ...(page.after === undefined ? {} : { after: String(page.after) }),
          ...(page.before === undefined ? {} : { before: String(page.before) }),
          limit: String(page.limit),
        });
        return [...entries];
      };
      const found = since === null ? await newest(count, ask) : await allAfter(since, ask);
      await answer(json, found, () => changesText(found));
    }),
  ["audit --pool eu --limit 20", "audit --pool eu --after 0 --json > audit.json", "audit --register"],
);

type Ask = (page: { after?: number; before?: number; limit: number }) => Promise<Change[]>;

async function newest(count: number, ask: Ask): Promise<Change[]> {
  // The latest page comes first.
  const pages: Change[][] = [];
  let left = count;
  while (left > 0) {
    const limit = Math.min(PAGE, left);
    const before = pages.at(-1)?.[0]?.sequence;
    const page = await ask(before === undefined ? { limit } : { before, limit });
    pages.push(page);
    left -= page.length;
    if (page.length < limit) break;
  }
  return pages.toReversed().flat();
}

async function allAfter(since: number, ask: Ask): Promise<Change[]> {
  const found: Change[] = [];
  for (let after = since; ; after = found.at(-1)!.sequence) {
    const page = await ask({ after, limit: PAGE });
    found.push(...page);
    if (page.length < PAGE) return found;
  }
}

function readCount(option: string, text: string, least: number): number {
  const count = Number(text);
  if (/^\d{1,9}$/.test(text) && count >= least && (least === 0 || count <= MOST)) return count;
  throw optionInvalid(
    `${option} is "${text}"; it must be a number from ${least}${least === 0 ? "" : ` to ${MOST}`}.`,
  );
}

/** `ipshard apply FILE`: makes pools what a file says, showing first what is between. [AY1] [AY2] [AY3] */
import { CommandFault } from "../../process/command-fault.ts";
import { WrittenFile } from "../../process/written-file.ts";
import { operatorFor, type OperatorWords, withOperator } from "../credentials/operator.ts";
import { carryOut, findDifference, type Found } from "../desired/carry-out.ts";
import { desiredSchema } from "../desired/desired-file.ts";
import type { Change } from "../desired/difference.ts";
import { withExamples } from "../../process/command-options.ts";
import { newVerb } from "../options.ts";
import { answer, jsonOption } from "../output/answer.ts";
import { confirm } from "../output/confirm.ts";
import { printable, type Style, styled } from "../output/terminal-text.ts";
import { print } from "../output/print.ts";

interface Words extends OperatorWords {
  readonly dryRun?: true;
  readonly yes?: true;
  readonly cutFlows?: true;
  readonly json?: true;
}

/** With `--dry-run`: there is something to do. */
const DIFFERS = 2;
const STYLES: Readonly<Record<Change["sign"], Style>> = { "+": "green", "~": "yellow", "-": "red" };

/** The verb. */
export const apply = withExamples(
  withOperator(
    newVerb("apply", "make pools, addresses, policies and hosts equal to a file, showing first what differs"),
  )
    .argument("<file>", "YAML or JSON, - for standard input")
    .option("--dry-run", `only show what differs; ends with 0 for nothing, with ${DIFFERS} for something`)
    .option("--yes", "do it without asking")
    .option("--cut-flows", "also what ends flows that run")
    .addOption(jsonOption())
    .action(async (file: string, { dryRun, yes, cutFlows, json, ...by }: Words) => {
      const { pools } = (await WrittenFile.read(file)).as(desiredSchema);
      const { api } = await operatorFor(by);
      const found = await findDifference(api, pools);
      const { changes, remarks } = found;
      const isToDo = changes.length > 0;
      if (json !== true) await print(differenceText(found));
      if (dryRun === true) process.exitCode = isToDo ? DIFFERS : 0;
      else if (isToDo) {
        refuseCuts(changes, cutFlows === true);
        const { length } = changes;
        if (yes !== true) await confirm(`Do ${length === 1 ? "this" : `all ${length}`}?`);
        await carryOut(api, found, ({ pool, text }) => console.error(printable(`done: ${pool}: ${text}`)));
      }
      const applied = isToDo && dryRun !== true;
      if (json === true) await answer(json, { applied, changes, remarks }, String);
    }),
  ["apply pools.yaml --dry-run", "apply pools.yaml", "apply pools.yaml --yes --json"],
);

function differenceText({ changes, remarks }: Found): string {
  const lines = changes.flatMap(({ sign, pool, text, cuts, warnings = [] }) => [
    styled(STYLES[sign], printable(`${sign} ${pool}: ${text}`)),
    ...(cuts === null ? [] : [`    ends flows: ${printable(cuts)}`]),
    ...warnings.map((warning) => `    warning: ${printable(warning)}`),
  ]);
  const heads = changes.length === 0 ? ["Nothing differs."] : lines;
  return [...heads, ...remarks.map((remark) => `! ${printable(remark)}`)].join("\n");
}

function refuseCuts(changes: readonly Change[], isToldTo: boolean): void {
  const cutting = changes.filter(({ cuts }) => cuts !== null);
  if (isToldTo || cutting.length === 0) return;
  const what = cutting.map(({ pool, text, cuts }) => `${pool}: ${text} (${cuts})`).join("; ");
  throw new CommandFault(
    "flows-at-risk",
    `Nothing was changed, since this would end flows: ${what}. Give --cut-flows to do it all the same.`,
  );
}

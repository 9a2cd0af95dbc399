/** `--dry-run`: prints what the kernel would be told for the pool as it is now, and touches nothing. [RT13] */
import { CommandFault } from "../process/command-fault.ts";
import type { RouterOptions } from "./command-line.ts";
import { askPool } from "./feed/pool-question.ts";
import { contentsOf, printTransactions } from "./rules/steering-transactions.ts";

/** Prints line by line; throws `edge-not-answering`. */
export async function dryRun(options: RouterOptions, print: (line: string) => void): Promise<void> {
  const { edge, pool, config } = options;
  const answer = await askPool(options);
  if ("fault" in answer) {
    throw new CommandFault(
      "edge-not-answering",
      `The edge at ${edge.href} does not tell of the pool ${pool}: ${answer.fault}`,
    );
  }
  const { table } = answer;
  for (const line of printTransactions(config, table)) print(line);
  for (const { host, family } of contentsOf(config, table).unreachable) {
    print(`# nobody has said how to reach ${host} by IPv${family}`);
  }
  if (table.sequence === 0) print("# the pool has had no router yet, so its blocks are not known to it");
}

/** The command line: the program, and what becomes of its faults. */
import { CommanderError } from "commander";
import { begin } from "../process/command-fault.ts";
import { configured } from "../process/configuration.ts";
import { refusalOf } from "../process/command-options.ts";
import { EDGE_COPY_VERBS } from "./edge/copy-verbs.ts";
import { commandFault } from "./output/faults.ts";
import { program } from "./program.ts";
import { complete, isCompletionOf } from "./verbs/complete.ts";
import { edge } from "./verbs/edge.ts";

await begin("ipshard", async () => {
  try {
    await parse(process.argv.slice(2));
    process.exitCode ??= 0;
  } catch (fault) {
    throw commandFault(fault);
  }
});

/** The edge may be told by a file, too, as agents and routers are; all others have contexts. */
async function parse(args: readonly string[]): Promise<void> {
  if (isCompletionOf(args)) return complete(args.slice(2));
  const isOfCopies = EDGE_COPY_VERBS.some((verb) => verb.name() === args[1]);
  if (args[0] !== "edge" || isOfCopies) return void (await program.parseAsync(args, { from: "user" }));
  const said = await configured("edge", edge, args.slice(1));
  edge.exitOverride().configureOutput({ writeErr: () => {} });
  try {
    await program.parseAsync(["edge", ...said.args], { from: "user" });
  } catch (fault) {
    // Help was asked for, and given.
    if (fault instanceof CommanderError && fault.exitCode === 0) return;
    throw said.locate(refusalOf(fault));
  }
}

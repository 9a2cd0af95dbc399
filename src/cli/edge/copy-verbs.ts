/** `ipshard edge backup`, `restore` and `slots-known`: copies of an edge, and an edge that was made from one. */
import { InvalidArgumentError, Option } from "commander";
import { backUpEdge, confirmSlots, restoreEdge } from "./edge-backup.ts";
import { newVerb, stateOption } from "../options.ts";
import { print } from "../output/print.ts";
import { StatePaths } from "../state-paths.ts";

const backup = newVerb("backup", "copy the state of this edge, which may run, into a file")
  .requiredOption("--to <file>", "the file; what is there is replaced. The edge's keys are in it")
  .addOption(stateOption())
  .action(async ({ to, state }: { to: string; state: string }) => {
    const { databaseCount, digest } = await backUpEdge(new StatePaths(state), to);
    await print(`${to}: ${databaseCount} databases, sha256 ${digest}`);
  });

const restore = newVerb("restore", "make a copy the state of a new edge; the old edge must never run again")
  .argument("<file>", "what `ipshard edge backup` wrote")
  .addOption(
    new Option(
      "--wait <seconds>",
      "grant nothing for so long at least: lease time and quarantine, if they were longer since the copy than it says",
    )
      .default(0)
      .argParser(secondsIn),
  )
  .option("--slots-known", "of static pools: no host holds a slot that it did not have in the copy", false)
  .addOption(stateOption())
  .action(async (file: string, words: { state: string; wait: number; slotsKnown: boolean }) => {
    const { state, wait, slotsKnown } = words;
    const { takenAtMs } = await restoreEdge(file, new StatePaths(state), {
      waitMs: wait * 1_000,
      areSlotsKnown: slotsKnown,
    });
    await print(afterRestore(takenAtMs));
  });

const slotsKnown = newVerb(
  "slots-known",
  "of a restored edge: say that no host holds a static slot of which it does not know; holds from its next start",
)
  .addOption(stateOption())
  .action(({ state }: { state: string }) => confirmSlots(new StatePaths(state)));

/** By their names. */
export const EDGE_COPY_VERBS = [backup, restore, slotsKnown];

function afterRestore(takenAtMs: number): string {
  return `The state is as it was at ${new Date(takenAtMs).toISOString()}. Now it is ${new Date().toISOString()}: is that right?
Before it starts: the old edge must be stopped, and must never start again from its own state.
What was done since the copy is lost, and is to be done again: settings, policies, addresses, drains; tokens
revoked; keys made; machines that joined by a join token need another. Hosts go on with what they hold. Nothing is
granted until lease time and quarantine are over.`;
}

function secondsIn(text: string): number {
  if (/^\d{1,6}$/.test(text)) return Number(text);
  throw new InvalidArgumentError("It must be a number of seconds.");
}

/** `ipshard edge backup`, `standby`, `copy`, `restore` and `slots-known`: copies of an edge, and what is made of them. */
import { InvalidArgumentError, Option } from "commander";
import { CommandFault } from "../../process/command-fault.ts";
import { withExamples } from "../../process/command-options.ts";
import { type OperatorWords, withOperator } from "../credentials/operator.ts";
import { newVerb, stateOption } from "../options.ts";
import { answer, jsonOption } from "../output/answer.ts";
import { print } from "../output/print.ts";
import { type CopyFacts, EdgeArchive } from "./edge-archive.ts";
import { backUpEdge, confirmSlots, restoreEdge } from "./edge-backup.ts";
import { answers } from "./edge-process.ts";
import { runStandby } from "./run-standby.ts";
import { StatePaths } from "../state-paths.ts";

const backup = newVerb("backup", "copy the state of this edge, which may run, into a file")
  .requiredOption("--to <file>", "the file; what is there is replaced. The edge's keys are in it")
  .addOption(stateOption())
  .action(async ({ to, state }: { to: string; state: string }) => {
    const { databaseCount, digest } = await backUpEdge(new StatePaths(state), to);
    await print(`${to}: ${databaseCount} databases, sha256 ${digest}`);
  });

const standby = withOperator(
  newVerb(
    "standby",
    "keep a copy of an edge that runs elsewhere, as new as it can be; it takes nothing over by itself",
  ),
)
  .requiredOption(
    "--to <file>",
    "the file; a backup of that edge must be there, since its keys do not travel",
  )
  .addOption(
    new Option("--every <seconds>", "how often what has changed is fetched").default(10).argParser(secondsIn),
  )
  .action(async ({ to, every, ...operator }: OperatorWords & { to: string; every: number }) => {
    await runStandby({ file: to, everyMs: Math.max(1, every) * 1_000, operator });
  });

const copy = newVerb(
  "copy",
  "say of a backup, or of a standby's copy, of when it is, and whether it is whole",
)
  .argument("<file>", "what `ipshard edge backup` or `standby` wrote")
  .addOption(new Option("--at-most <seconds>", "fail if it is older").argParser(secondsIn))
  .addOption(jsonOption())
  .action(async (file: string, { atMost, json }: { atMost?: number; json?: true }) => {
    const facts = await checked(file);
    const ageSeconds = Math.max(0, Math.round((Date.now() - facts.takenAtMs) / 1_000));
    const { takenAtMs, ...rest } = facts;
    const takenAt = new Date(takenAtMs).toISOString();
    await answer(json, { file, takenAt, ageSeconds, ...rest }, () => {
      const of = facts.source === null ? "a backup" : `a copy of ${facts.source}`;
      return `${file}: ${of} of ${takenAt}, ${ageSeconds} s ago, ${facts.databaseCount} databases, sha256 ${facts.digest}`;
    });
    if (atMost === undefined || ageSeconds <= atMost) return;
    throw new CommandFault("copy-too-old", `The copy in ${file} is ${ageSeconds} s old.`);
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
  .option(
    "--fenced",
    "whatever answers at the old edge's address is not that edge: it cannot grant any more",
    false,
  )
  .addOption(stateOption())
  .action(async (file: string, words: RestoreOptions) => {
    const { state, wait, slotsKnown, fenced } = words;
    if (!fenced) await refuseWhileOldEdgeAnswers(file);
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
export const EDGE_COPY_VERBS = [
  withExamples(backup, ["edge backup --to /var/backups/edge.copy --state /var/lib/ipshard-edge"]),
  withExamples(standby, ["edge standby --to /var/backups/edge.copy --edge https://edge.example.com"]),
  withExamples(copy, ["edge copy /var/backups/edge.copy --at-most 60"]),
  withExamples(restore, ["edge restore /var/backups/edge.copy --state /var/lib/ipshard-edge"]),
  withExamples(slotsKnown, ["edge slots-known --state /var/lib/ipshard-edge"]),
];

interface RestoreOptions {
  readonly state: string;
  readonly wait: number;
  readonly slotsKnown: boolean;
  readonly fenced: boolean;
}

const ANSWER_MS = 3_000;

/** That nothing answers is no proof that it has ended; that something does is a proof that it has not. [OC10] */
async function refuseWhileOldEdgeAnswers(file: string): Promise<void> {
  const archive = await EdgeArchive.open(file);
  const { source } = archive.facts();
  archive.close();
  if (source === null) return;
  const isThere = await answers(new URL("/health", source).href, AbortSignal.timeout(ANSWER_MS)).catch(
    () => false,
  );
  if (!isThere) return;
  throw new CommandFault(
    "edge-still-runs",
    `An edge answers at ${source}. Stop it for good first: two edges would grant the same ports. If it is not the ` +
      "old one that answers there, say --fenced.",
  );
}

async function checked(file: string): Promise<CopyFacts> {
  const archive = await EdgeArchive.open(file);
  try {
    archive.verify();
    return archive.facts();
  } finally {
    archive.close();
  }
}

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

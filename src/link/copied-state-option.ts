/** The option that says what to do with a state directory that came from another machine. [SD3] */
import type { Command } from "commander";
import { optionInvalid } from "../process/command-options.ts";
import type { WhenCopied } from "./state-directory.ts";

const WHEN_COPIED: readonly [WhenCopied, ...WhenCopied[]] = ["refuse", "renew", "trust"];

/** What to do with a copied state directory. */
export function readWhenCopied(text: string): WhenCopied {
  const known = WHEN_COPIED.find((each) => each === text);
  if (known === undefined) {
    throw optionInvalid(`--copied-state ${text} is not one of ${WHEN_COPIED.join(", ")}.`);
  }
  return known;
}

/** Adds the option that says what to do with a copied state directory. */
export function withCopiedState(command: Command): Command {
  return command.option(
    "--copied-state <what>",
    "of a state directory from another machine: refuse it, renew its identity, or trust it unseen",
    WHEN_COPIED[0],
  );
}

/** `ipshard complete SHELL`: what a shell needs to complete verbs and options by itself. [CI16] */
import tab from "@bomb.sh/tab/commander";
import type { Command } from "commander";
import { publishedOptions } from "../published-schema.ts";

const NAME = "complete";
/** Verbs whose options other programs read. */
const PROGRAMS: ReadonlySet<string> = new Set(["agent", "router"]);

/** The program with this verb. It comes last, since it looks at all others. */
export function withCompletion(program: Command, args: readonly string[]): void {
  // Only a shell that asks is told of them here: else they would be read here, too.
  if (args[0] === NAME) {
    for (const verb of program.commands.filter((known) => PROGRAMS.has(known.name()))) {
      for (const { name, description, isFlag } of publishedOptions(verb.name()))
        verb.option(`--${name}${isFlag ? "" : " <value>"}`, description);
    }
  }
  tab(program);
  program.commands
    .find((verb) => verb.name() === NAME)!
    .description("print what zsh, bash, fish or powershell needs to complete verbs and options")
    .addHelpText(
      "after",
      "\nExamples:\n  source <(ipshard complete bash)      (with the package bash-completion)\n  ipshard complete fish > ~/.config/fish/completions/ipshard.fish",
    );
}

/** `ipshard complete SHELL`: what a shell needs to complete verbs and options by itself. [CI16] */
import type { Command } from "commander";
import tab from "@bomb.sh/tab/commander";

/** The program with this verb. It comes last, since it looks at all others. */
export function withCompletion(program: Command): void {
  tab(program);
  program.commands
    .find((verb) => verb.name() === "complete")!
    .description("print what zsh, bash, fish or powershell needs to complete verbs and options")
    .addHelpText(
      "after",
      "\nExamples:\n  source <(ipshard complete bash)      (with the package bash-completion)\n  ipshard complete fish > ~/.config/fish/completions/ipshard.fish",
    );
}

/** The question before something is done that a person should have thought of. */
import { createInterface } from "node:readline/promises";
import { CommandFault } from "../../process/command-fault.ts";

/** Done when somebody at a terminal has said yes; without one, or with another answer, throws `not-confirmed`. */
export async function confirm(question: string): Promise<void> {
  const { stdin, stderr } = process;
  if (!stdin.isTTY)
    throw new CommandFault(
      "not-confirmed",
      "Nothing was changed: give --yes to do it, or ask for it on a terminal.",
    );
  const asking = createInterface({ input: stdin, output: stderr });
  const said = await asking.question(`${question} [y/N] `);
  asking.close();
  if (!/^y(es)?$/i.test(said.trim())) throw new CommandFault("not-confirmed", "Nothing was changed.");
}

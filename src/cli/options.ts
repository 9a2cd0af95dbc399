/** Options that several verbs take, and what is the same of every verb. */
import { Command, InvalidArgumentError, Option } from "commander";
import { DEFAULT_STATE } from "./state-paths.ts";

const DEFAULT_PORT = 8787;

/** A verb whose options are its own. */
export function newVerb(name: string, description: string): Command {
  return withCodes(new Command(name).description(description));
}

/** What commander itself refuses is said as all else that fails: with a code, and with where to look. [CI1] */
function withCodes(command: Command): Command {
  return command.configureOutput({
    outputError: (text, write) => {
      const sentence = text
        .replace(/^error: /, "")
        .trim()
        .replaceAll("\n", " ")
        .replace(/\.$/, "");
      write(`ipshard: ${sentence}. See ${fullName(command)} --help. [option-invalid]\n`);
    },
  });
}

function fullName(command: Command): string {
  return command.parent === null ? command.name() : `${fullName(command.parent)} ${command.name()}`;
}

/** A verb whose options, and whose help, are those of the program that takes its place. */
export function programVerb(
  name: string,
  description: string,
  run: (args: readonly string[]) => never | Promise<void>,
): Command {
  return newVerb(name, `${description} (its options: ipshard ${name} --help)`)
    .argument("[args...]")
    .allowUnknownOption()
    .helpOption(false)
    .action(run);
}

/** Where to listen; `portCount` ports in a row must be there. */
export function portOption(description: string, portCount: number): Option {
  const highest = 65_536 - portCount;
  return new Option("--port <number>", description).default(DEFAULT_PORT).argParser((text) => {
    const port = Number(text);
    if (/^\d+$/.test(text) && port >= 1 && port <= highest) return port;
    throw new InvalidArgumentError(`It must be a number from 1 to ${highest}.`);
  });
}

/** Where everything local lives. */
export function stateOption(): Option {
  return new Option("--state <directory>", "where keys, tokens and storage are")
    .env("IPSHARD_STATE")
    .default(DEFAULT_STATE);
}

/** Which pool a verb means. */
export function poolOption(): Option {
  return new Option("--pool <name>", "the pool (default: that of the context, or the only one there is)");
}

/** The reference of the command line, from the verbs themselves. */
import type { Command, Option } from "commander";
import { hostDoctorCommand } from "../../src/agent/doctor/command-line.ts";
import { agentCommand } from "../../src/agent/command-line.ts";
import { program } from "../../src/cli/program.ts";
import { ROUTER_OPERATORS } from "../../src/cli/verbs/router.ts";
import { routerCommand } from "../../src/router/command-line.ts";
import { ROUTER_DOCTOR } from "../../src/router/doctor/command-line.ts";
import { code, document, table } from "./markdown.ts";

const INTRODUCTION = `\`npx ipshard VERB --help\` says the same for one verb. What fails is said on standard error with a code
([errors](errors.md#what-commands-say)), and the command ends with 1. Every option of \`agent\`, \`router\` and \`edge\` may also stand in a file
(\`--config\`) or in the environment: \`IPSHARD_TOKEN_FILE\` is \`--token-file\`.`;

const nowhere = (): void => {};

/** One command as it is typed, with what it takes. */
export interface ListedCommand {
  readonly words: string;
  readonly command: Command;
}

/** Verbs in whose place a program comes, whose options are the verb's. */
const PROGRAMS: Readonly<Record<string, readonly Command[]>> = {
  agent: [agentCommand(nowhere)],
  router: [
    routerCommand(nowhere),
    ...Object.entries(ROUTER_OPERATORS).map(([word, command]) => command().name(`ipshard router ${word}`)),
  ],
  doctor: [hostDoctorCommand(nowhere), routerCommand(nowhere, ROUTER_DOCTOR)],
};

/** All commands, in the order of the help. */
export function allCommands(): ListedCommand[] {
  return visibleIn(program).flatMap((verb) => {
    const programs = PROGRAMS[verb.name()];
    const own = listed(`ipshard ${verb.name()}`, verb);
    return programs === undefined ? own : programs.map((command) => ({ words: command.name(), command }));
  });
}

/** What is not in the help is in no reference. */
export function optionsOf({ command }: ListedCommand): Option[] {
  return command.options.filter(({ hidden }) => !hidden);
}

function listed(words: string, command: Command): ListedCommand[] {
  const below = visibleIn(command).flatMap((child) => listed(`${words} ${child.name()}`, child));
  return [{ words, command }].concat(below);
}

function visibleIn(command: Command): Command[] {
  return command
    .createHelp()
    .visibleCommands(command)
    .filter((child) => child.name() !== "help");
}

function optionRow(option: Option): readonly string[] {
  const { flags, description, mandatory, envVar, defaultValue } = option;
  const isSaid = defaultValue !== undefined && defaultValue !== false && defaultValue !== true;
  const isList = Array.isArray(defaultValue);
  const notes = [
    mandatory ? "**required**" : "",
    isSaid && !isList ? `default ${code(String(option.defaultValueDescription ?? defaultValue))}` : "",
    envVar === undefined ? "" : `environment ${code(envVar)}`,
  ].filter((note) => note !== "");
  return [code(flags), [description, ...notes].join("; ")];
}

function section(entry: ListedCommand): string {
  const { words, command } = entry;
  const places = command.registeredArguments;
  const synopsis = [
    words,
    ...places.map((place) => (place.required ? `<${place.name()}>` : `[${place.name()}]`)),
  ];
  const rows = [
    ...places.map((place) => [code(place.name()), place.description]),
    ...optionsOf(entry).map(optionRow),
  ];
  const description = command.description();
  return [
    `## ${words}`,
    `${description.slice(0, 1).toUpperCase()}${description.slice(1)}`.replace(/\.?$/, "."),
    ...(command.commands.length > 0 && rows.length === 0 ? [] : [code(synopsis.join(" "))]),
    ...(rows.length === 0 ? [] : [table(["takes", "which is"], rows)]),
  ].join("\n\n");
}

/** The whole of it. */
export function commandReference(): string {
  const commands = allCommands();
  const verbs = commands.filter(
    ({ words }) => words.split(" ").length <= 2 || words === "ipshard doctor router",
  );
  const overview = verbs.map(({ words, command }) => [
    `[${code(words)}](#${words.replaceAll(" ", "-")})`,
    command.description(),
  ]);
  return document("The command line", INTRODUCTION, [
    table(["verb", "does"], overview),
    ...commands.map(section),
  ]);
}

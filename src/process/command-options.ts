/**
 * How a program of ours reads its command line: commander's words in, our refusals out. What
 * does not fit is refused as `option-invalid`, in a sentence that names the option. [AG1]
 */
import { Command, CommanderError, type Option } from "commander";
import { isName } from "../core/selection.ts";
import { CommandFault } from "./command-fault.ts";

const DURATION = /^([1-9]\d{0,5})(ms|s|m|h|d)$/;
const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const HOST_AND_PORT = /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d{1,5})$/;

/** What is less than a day is no `0d`. */
function longest(ms: number): string {
  const [unit, ofUnit] = Object.entries(UNIT_MS).findLast(([, length]) => length <= ms) ?? ["ms", 1];
  return `${Math.floor(ms / ofUnit)}${unit}`;
}

/** A command whose help goes to `write`. */
export function newCommand(name: string, description: string, write: (text: string) => void): Command {
  return new Command(name)
    .description(description)
    .exitOverride()
    .configureHelp({ optionDescription })
    .configureOutput({ writeOut: write, writeErr: () => {} });
}

function optionDescription({ description, mandatory, defaultValue }: Option): string {
  if (mandatory) return `${description} (required)`;
  return typeof defaultValue === "string" ? `${description} (default: ${defaultValue})` : description;
}

/** Those that have examples. */
const exemplified = new WeakSet<Command>();

/**
 * The command with such uses of it at the end of its help, and at the end of that of the verbs below it which
 * they are uses of; each goes on behind the program's name. [CI16]
 */
export function withExamples(command: Command, examples: readonly string[]): Command {
  exemplified.add(command);
  for (const below of command.commands) {
    const words = `${command.name()} ${below.name()}`;
    const own = examples.filter((line) => line === words || line.startsWith(`${words} `));
    if (own.length > 0 && !exemplified.has(below)) withExamples(below, own);
  }
  return command.addHelpText(
    "after",
    `\nExamples:\n${examples.map((line) => `  ipshard ${line}`).join("\n")}`,
  );
}

/** The command with its options read from the arguments after the program's name; null when only help was asked for. */
export function parsed(command: Command, args: readonly string[]): Command | null {
  try {
    return command.parse(args, { from: "user" });
  } catch (fault) {
    if (!(fault instanceof CommanderError)) throw fault;
    if (fault.exitCode === 0) return null;
    // A slip of the pen explains the option that is then missing.
    if (fault.code === "commander.missingMandatoryOptionValue") {
      const { operands, unknown } = command.parseOptions([...args]);
      const [stray] = [...operands, ...unknown];
      if (stray !== undefined)
        throw optionInvalid(
          `There is no option ${stray}; see ${command.name()} --help.${nearest(command, args)}`,
        );
    }
    throw refusalOf(fault);
  }
}

/** What commander refuses, as a refusal of ours; any other fault stays what it is, and so does a wish for help. */
export function refusalOf(fault: unknown): unknown {
  if (!(fault instanceof CommanderError) || fault.exitCode === 0) return fault;
  return optionInvalid(fault.message.replace(/^error: /, "").replaceAll("\n", " "));
}

/** What commander takes a misspelt option for, as it says when no other option is missing; empty if for nothing. */
function nearest(command: Command, args: readonly string[]): string {
  for (const option of command.options) option.mandatory = false;
  try {
    command.parse(args, { from: "user" });
    return "";
  } catch (fault) {
    return fault instanceof CommanderError ? fault.message.replace(/^[^\n]*\n?/, " ").trimEnd() : "";
  }
}

/** Gathers an option that may be repeated. */
export function collect(value: string, before: readonly string[]): readonly string[] {
  return [...before, value];
}

/** Gathers an option that may be repeated, and whose text is `key=value, key=value`: in a file each may be a mapping. */
export function collectRecords(value: string, before: readonly string[]): readonly string[] {
  return [...before, value];
}

/** The name of a pool. */
export function readPool(text: string): string {
  if (!isName(text))
    throw optionInvalid(
      `--pool ${text} cannot be the name of a pool: those have 1 to 63 of a-z 0-9 . _ - and begin with a letter or digit.`,
    );
  return text;
}

/** An http or https URL without credentials, query and fragment. */
export function readUrl(option: string, text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null || !/^https?:$/.test(url.protocol)) {
    throw optionInvalid(`${option} ${text} is no http or https URL, such as https://h1.example.com.`);
  }
  if (url.username !== "" || url.password !== "" || url.search !== "" || url.hash !== "") {
    throw optionInvalid(`${option} takes a URL without credentials, query and fragment.`);
  }
  return url;
}

/** A `host:port`, an IPv6 host in brackets; `examples` are for the refusal. */
export function readPlace(
  option: string,
  text: string,
  examples = "127.0.0.1:8443 or [::1]:8443",
): { readonly host: string; readonly port: number } {
  const match = HOST_AND_PORT.exec(text);
  const port = Number(match?.[3]);
  if (match === null || port > 65_535)
    throw optionInvalid(`${option} ${text} is not of the form host:port, such as ${examples}.`);
  return { host: (match[1] ?? match[2])!, port };
}

/** A time such as `500ms`, `45s`, `10m`, `12h` or `30d`, in milliseconds. */
export function readDuration(
  option: string,
  text: string,
  { leastMs, mostMs }: { readonly leastMs: number; readonly mostMs: number },
): number {
  const match = DURATION.exec(text);
  const durationMs = match ? Number(match[1]) * UNIT_MS[match[2]!]! : NaN;
  if (durationMs >= leastMs && durationMs <= mostMs) return durationMs;
  throw optionInvalid(
    `${option} is ${JSON.stringify(text)}; it must be a time such as 45s, 10m, 12h or 30d, at most ${longest(mostMs)}.`,
  );
}

/** The same of an option that was in milliseconds before it had units: a number alone is so still. */
export function readMs(option: string, text: string, mostMs: number): number {
  if (!/^\d+$/.test(text)) return readDuration(option, text, { leastMs: 0, mostMs });
  const ms = Number(text);
  if (ms <= mostMs) return ms;
  throw optionInvalid(`${option} ${text} is not a number of milliseconds up to ${mostMs / UNIT_MS.d!}d.`);
}

/** The refusal of an option, for `throw`. */
export function optionInvalid(message: string): CommandFault {
  return new CommandFault("option-invalid", message);
}

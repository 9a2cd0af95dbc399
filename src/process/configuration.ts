/**
 * What a program is told otherwise than by its command line: by the environment, and by a file. Both become
 * arguments before those that were given, so that each option is read in one place, whoever said it; of an option
 * that several say the strongest counts: the command line, then the environment, then the file. [CF2]
 */
import { resolve } from "node:path";
import type { Command, Option } from "commander";
import { z } from "zod";
import { CommandFault } from "./command-fault.ts";
import { collect, collectRecords, optionInvalid } from "./command-options.ts";
import { FilesFault } from "./named-files.ts";
import { nearestOf } from "./nearest.ts";
import type { WrittenFile } from "./written-file.ts";

/** A part of a file that is for one program. */
export type Section = "agent" | "router" | "edge";

/** Parts that a file may have. Others are refused. */
export const SECTIONS: readonly string[] = ["agent", "router", "edge", "pools"];

const CONFIG = "config";
const CHECK_CONFIG = "check-config";
/** Of files that are on another machine. */
export const FILES_ELSEWHERE = "files-elsewhere";
/** They are about the file, so they do not stand in it. */
const NOT_IN_FILES: ReadonlySet<string> = new Set([CONFIG, CHECK_CONFIG, FILES_ELSEWHERE, "help", "version"]);
const PREFIX = "IPSHARD_";

/** What was said to a program. */
export interface Configured {
  /** All of it as arguments. */
  readonly args: readonly string[];
  /** Only look whether it can be used. */
  readonly isCheck: boolean;
  /** And not at the files that it names. */
  readonly areFilesElsewhere: boolean;
  /** The same fault, with where it was said what is wrong. */
  readonly locate: (fault: unknown) => unknown;
}

/** Where it is said. */
export interface Surroundings {
  readonly environment: NodeJS.ProcessEnv;
  /** From which a relative path to the file counts. */
  readonly directory: string;
}

/** What `--check-config` says when nothing is wrong. */
export const CONFIGURATION_GOOD = "All that is configured can be used.";

/** The command with the options that are about files. */
export function withConfiguration(command: Command): Command {
  return command
    .option(
      `--${CONFIG} <file>`,
      `options from a file in YAML or JSON; the environment (${PREFIX}POOL for --pool) and options here are stronger`,
    )
    .option(
      `--${CHECK_CONFIG}`,
      "only say whether all that is configured can be used, the files that it names too",
    )
    .option(
      `--${FILES_ELSEWHERE}`,
      `with --${CHECK_CONFIG}: leave those files alone, which are on another machine`,
    );
}

/** Gathers what is said to a program whose options are those of the command. Throws `file-invalid`, `option-invalid`. */
export async function configured(
  section: Section,
  command: Command,
  args: readonly string[],
  { environment, directory }: Surroundings = { environment: process.env, directory: process.cwd() },
): Promise<Configured> {
  const options = command.options.filter(
    ({ long }) => long !== null && long !== undefined && !NOT_IN_FILES.has(nameOf(long)),
  );
  const unsaid = options.filter(({ long }) => !isGiven(args, long!));
  refuseSlips(options, environment);
  const sources = new Map<string, string>();
  const fromEnvironment: string[] = [];
  const left: Option[] = [];
  for (const option of unsaid) {
    const variable = variableOf(option);
    const text = environment[variable];
    if (text === undefined || text === "") left.push(option);
    else {
      sources.set(option.long!, variable);
      fromEnvironment.push(
        ...argumentsOf(option, isRepeatable(option) ? text.trim().split(/\s+/) : text, variable),
      );
    }
  }
  const name = valueOf(args, `--${CONFIG}`) ?? environment[`${PREFIX}CONFIG`];
  const fromFile = name === undefined ? null : await readSection(section, options, resolve(directory, name));
  const all =
    fromFile === null
      ? []
      : left.flatMap((option) => {
          const value = fromFile.values[nameOf(option.long!)];
          if (value === undefined) return [];
          sources.set(option.long!, fromFile.placeOf(nameOf(option.long!)));
          return argumentsOf(option, value, nameOf(option.long!));
        });
  return {
    args: [...all, ...fromEnvironment, ...args],
    isCheck: args.includes(`--${CHECK_CONFIG}`),
    areFilesElsewhere: args.includes(`--${FILES_ELSEWHERE}`),
    locate: (fault) => located(fault, sources, fromFile?.place ?? null),
  };
}

/** Reads options; what is wrong with one is said with where it was said. */
export function readConfigured<Options>({ locate }: Configured, readOptions: () => Options): Options {
  try {
    return readOptions();
  } catch (fault) {
    throw locate(fault);
  }
}

/** What a section of a file may say, as a schema. */
export function sectionSchema(options: readonly Option[]): z.ZodObject {
  const shape = options
    .filter(({ long }) => long !== null && long !== undefined && !NOT_IN_FILES.has(nameOf(long)))
    .map((option) => [nameOf(option.long!), valueSchema(option)] as const);
  return z.strictObject(Object.fromEntries(shape));
}

interface ReadSection {
  readonly values: Readonly<Record<string, unknown>>;
  readonly place: string;
  readonly placeOf: (option: string) => string;
}

async function readSection(section: Section, options: readonly Option[], name: string): Promise<ReadSection> {
  // Most programs have no file, and need none of what reads it.
  const { WrittenFile: Reader, fileInvalid } = await import("./written-file.ts");
  const file = await Reader.read(name);
  const mistakes = mistakesOfSection(file, section, sectionSchema(options));
  if (mistakes.length > 0) throw fileInvalid(file.name, mistakes);
  const values =
    (file.value as Readonly<Record<string, Readonly<Record<string, unknown>> | undefined>>)[section] ?? {};
  const place = (path: readonly string[]): string => {
    // What a section lacks is said where it begins.
    const { line, column } = file.mistake(path, "", path.length === 1);
    return `${file.name}:${line}:${column}`;
  };
  return { values, place: place([section]), placeOf: (option) => place([section, option]) };
}

/** Other programs' parts are theirs to judge. */
function mistakesOfSection(
  file: WrittenFile,
  section: Section,
  schema: z.ZodType,
): ReturnType<WrittenFile["mistakesBy"]> {
  const others = Object.fromEntries(SECTIONS.map((name) => [name, z.unknown().optional()]));
  return file.mistakesBy(z.strictObject({ $schema: z.string().optional(), ...others, [section]: schema }));
}

function valueSchema(option: Option): z.ZodType {
  const about = { description: option.description };
  if (option.isBoolean()) return z.boolean().optional().meta(about);
  const one = z.union([z.string().min(1), z.number()], "text or a number is expected");
  if (isOfRecords(option)) {
    const record = z.record(z.string(), z.union([one, z.array(one).min(1)]));
    return z
      .array(z.union([one, record]), "a list of mappings, or of texts, is expected")
      .optional()
      .meta(about);
  }
  if (!isRepeatable(option)) return one.optional().meta(about);
  return z
    .union([one, z.array(one)], "a text, or a list of such, is expected")
    .optional()
    .meta(about);
}

function argumentsOf(option: Option, value: unknown, said: string): string[] {
  if (option.isBoolean()) {
    const text = String(value);
    if (text !== "true" && text !== "false") throw optionInvalid(`${said} is true or false, not ${text}.`);
    return text === "true" ? [option.long!] : [];
  }
  const texts = Array.isArray(value) ? value : [value];
  return texts.map((text) => `${option.long!}=${isRecord(text) ? writtenRecord(text) : String(text)}`);
}

function located(fault: unknown, sources: ReadonlyMap<string, string>, section: string | null): unknown {
  if (!(fault instanceof CommandFault)) return fault;
  if (fault instanceof FilesFault)
    return new FilesFault(fault.each.map((one) => placed(one, sources, section)));
  const { code } = fault;
  return code === "option-invalid" || code === "plain-http-refused" ? placed(fault, sources, section) : fault;
}

function placed(
  fault: CommandFault,
  sources: ReadonlyMap<string, string>,
  section: string | null,
): CommandFault {
  const { code, message } = fault;
  const [named] = /--[a-z][a-z-]*/.exec(message) ?? [];
  const source = named === undefined ? undefined : sources.get(named);
  // What is missing is missing from the file, if there is one.
  const place = source ?? (message.startsWith("required option") ? section : null);
  return place === null ? fault : new CommandFault(code, `${place}: ${message}`, fault);
}

function refuseSlips(options: readonly Option[], environment: NodeJS.ProcessEnv): void {
  const known = options.map(variableOf);
  for (const variable of Object.keys(environment)) {
    if (!variable.startsWith(PREFIX) || known.includes(variable)) continue;
    // Other programs of ours have variables, too, so only what is hardly anything else is taken for a slip.
    const meant = nearestOf(variable, known, 1);
    if (meant !== null) throw optionInvalid(`There is no variable ${variable}. Did you mean ${meant}?`);
  }
}

function isRepeatable({ parseArg }: Option): boolean {
  return parseArg === collect;
}

/** Its texts have blanks, so the environment has one text at most. */
function isOfRecords({ parseArg }: Option): boolean {
  return parseArg === collectRecords;
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null;
}

/** As it stands on a command line. */
function writtenRecord(record: Readonly<Record<string, unknown>>): string {
  return Object.entries(record)
    .map(([key, value]) => `${key}=${Array.isArray(value) ? value.join(" ") : String(value)}`)
    .join(", ");
}

function nameOf(long: string): string {
  return long.replace(/^--/, "");
}

function variableOf({ long }: Option): string {
  return `${PREFIX}${nameOf(long!).replaceAll("-", "_").toUpperCase()}`;
}

function isGiven(args: readonly string[], long: string): boolean {
  return args.some((arg) => arg === long || arg.startsWith(`${long}=`));
}

function valueOf(args: readonly string[], long: string): string | undefined {
  const at = args.indexOf(long);
  if (at >= 0) return args[at + 1];
  return args.find((arg) => arg.startsWith(`${long}=`))?.slice(long.length + 1);
}

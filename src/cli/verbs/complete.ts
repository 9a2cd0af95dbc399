/** `ipshard complete SHELL`: what a shell needs to complete verbs, options and names by itself. [CI16] [CI17] */
import type { RootCommand } from "@bomb.sh/tab";
import tab from "@bomb.sh/tab/commander";
import type { Command } from "commander";
import { type LiveName, liveNames, type NameKind } from "../completion/live-names.ts";
import { safeScript } from "../completion/shell-script.ts";
import { publishedOptions } from "../published-schema.ts";

const NAME = "complete";
/** Verbs whose options other programs read. */
const PROGRAMS: ReadonlySet<string> = new Set(["agent", "router"]);

/** Of what words are the names: options of any verb, and arguments by their verb. */
const OPTION_KINDS: Readonly<Record<string, NameKind>> = { pool: "pool", context: "context", ip: "address" };
const ARGUMENT_KINDS: Readonly<Record<string, NameKind>> = { pool: "pool", host: "host", address: "address" };
/** What else is called like these, or is one of them under another name. */
const EXCEPTIONS: Readonly<Record<string, NameKind | null>> = {
  "lease list --host": "host",
  // Those are new.
  "pool add pool": null,
  "ip add address": null,
  "context use name": "context",
  "context remove name": "context",
};

/** Thrown where the library wants names that have yet to be asked for. */
class Wanted extends Error {
  readonly kind: NameKind;
  constructor(kind: NameKind) {
    super(kind);
    this.kind = kind;
  }
}

let completions: RootCommand | null = null;
let known: readonly LiveName[] | null = null;

/** The program with this verb. It comes last, since it looks at all others. */
export function withCompletion(program: Command, args: readonly string[]): void {
  // Only a shell that asks is told of them here: else they would be read here, too.
  if (args[0] === NAME) {
    for (const verb of program.commands.filter((listed) => PROGRAMS.has(listed.name()))) {
      for (const { name, description, isFlag } of publishedOptions(verb.name()))
        verb.option(`--${name}${isFlag ? "" : " <value>"}`, description);
    }
  }
  completions = withSafeScripts(withNames(tab(program)));
  program.commands
    .find((verb) => verb.name() === NAME)!
    .description("print what zsh, bash, fish or powershell needs to complete verbs, options and names")
    .addHelpText(
      "after",
      "\nNames of pools, hosts and addresses are those that the edge of the context knows.\n\nExamples:\n  source <(ipshard complete bash)      (with the package bash-completion)\n  ipshard complete fish > ~/.config/fish/completions/ipshard.fish",
    );
}

/** Whether a shell asks for what may follow. */
export function isCompletionOf(args: readonly string[]): boolean {
  return args[0] === NAME && args[1] === "--";
}

/** Answers it; `words` are those behind the program's name, the last of them unfinished. */
export async function complete(words: readonly string[]): Promise<void> {
  const line = words.length === 0 ? [""] : words;
  try {
    completions!.parse([...line]);
  } catch (fault) {
    if (!(fault instanceof Wanted)) throw fault;
    known = await liveNames(fault.kind, line);
    completions!.parse([...line]);
  }
}

/** The library prints its script at once, and says it nowhere else. */
function withSafeScripts(root: RootCommand): RootCommand {
  const generate = root.setup.bind(root);
  root.setup = (name, executable, shell) => {
    const { log } = console;
    let generated = "";
    console.log = (text: string) => (generated += `${text}\n`);
    try {
      generate(name, executable, shell);
    } finally {
      console.log = log;
    }
    log(safeScript(shell, generated).trimEnd());
  };
  return root;
}

function namesOf(kind: NameKind) {
  return (add: (name: string, about: string) => void): void => {
    // The library cannot wait, so it is asked again when they are known.
    if (known === null) throw new Wanted(kind);
    for (const { name, about } of known) add(name, about);
  };
}

function withNames(root: RootCommand): RootCommand {
  for (const [verb, { options, arguments: taken }] of root.commands) {
    for (const [name, option] of options) {
      const kind = kindOf(`${verb} --${name}`, OPTION_KINDS[name]);
      if (kind !== null && option.isBoolean !== true) option.handler = namesOf(kind);
    }
    for (const [name, argument] of taken) {
      const kind = kindOf(`${verb} ${name}`, ARGUMENT_KINDS[name]);
      if (kind !== null) argument.handler = namesOf(kind);
    }
  }
  return root;
}

function kindOf(word: string, usual: NameKind | undefined): NameKind | null {
  const exception = EXCEPTIONS[word];
  return exception === undefined ? (usual ?? null) : exception;
}

/**
 * Files that people write, in YAML or JSON (which is YAML, too): read with the place of everything in them, so
 * that what is wrong is said with its line. [CF1]
 */
import { createReadStream } from "node:fs";
import {
  type Document,
  isAlias,
  isMap,
  isNode,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  parseDocument,
  visit,
  type YAMLMap,
} from "yaml";
import { z } from "zod";
import { CommandFault } from "./command-fault.ts";
import { didYouMean } from "./nearest.ts";
import { textUpTo } from "./small-file.ts";

/** One thing that is wrong, and what to do about it. */
export interface Mistake {
  readonly line: number;
  readonly column: number;
  /** Where in the file, as in `pools.eu.settings`; empty for all of it. */
  readonly path: string;
  readonly message: string;
}

type Path = readonly PropertyKey[];

/** As many as anybody reads at a time. */
const MOST_MISTAKES = 20;
/** Of aliases, which can make little text very large. */
const MOST_ALIASES = 100;
/** Of a file; ten thousand hosts with their addresses take a tenth of it. */
const MOST_BYTES = 16 * 1024 * 1024;

/** A file as it was written. */
export class WrittenFile {
  /** Its name, for what is said of it. */
  readonly name: string;
  readonly value: unknown;
  readonly #root: Node | null;
  readonly #lines: LineCounter;

  private constructor(name: string, value: unknown, root: Node | null, lines: LineCounter) {
    this.name = name;
    this.value = value;
    this.#root = root;
    this.#lines = lines;
  }

  /** Reads a file, or standard input for `-`. Throws `file-invalid`. */
  static async read(file: string): Promise<WrittenFile> {
    let text: string;
    try {
      text = await textUpTo(MOST_BYTES, file === "-" ? process.stdin : createReadStream(file));
    } catch (fault) {
      throw new CommandFault("file-invalid", `${file} cannot be read: ${(fault as Error).message}.`, fault);
    }
    return WrittenFile.of(file === "-" ? "standard input" : file, text);
  }

  /** The same of text that is at hand. */
  static of(name: string, text: string): WrittenFile {
    const lines = new LineCounter();
    // The library compares each key of a map with all before it, which takes minutes for a large one.
    const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, uniqueKeys: false });
    const mistakes = document.errors.map<Mistake>(({ pos, message, code }) => {
      const { line, col } = lines.linePos(pos[0]);
      return {
        line,
        column: col,
        path: "",
        message: `${message.replace(/\.?$/, ".")}${REMEDIES[code] ?? ""}`,
      };
    });
    try {
      if (mistakes.length === 0) mistakes.push(...slipsIn(document, lines));
      if (mistakes.length > 0) throw fileInvalid(name, mistakes);
      const value: unknown = document.toJS({ maxAliasCount: MOST_ALIASES });
      return new WrittenFile(name, value, isNode(document.contents) ? document.contents : null, lines);
    } catch (fault) {
      if (fault instanceof CommandFault) throw fault;
      throw fileInvalid(name, [{ line: 1, column: 1, path: "", message: (fault as Error).message }]);
    }
  }

  /** What is wrong with it by a schema; nothing if it fits. */
  mistakesBy(schema: z.ZodType): readonly Mistake[] {
    const read = schema.safeParse(this.value);
    if (read.success) return [];
    const shape = z.toJSONSchema(schema, { io: "input", unrepresentable: "any" }) as Shape;
    return read.error.issues
      .flatMap((issue) => this.#mistakesOf(issue, shape))
      .toSorted((a, b) => a.line - b.line || a.column - b.column);
  }

  /** What it says, by a schema. Throws `file-invalid` with every mistake. */
  as<Schema extends z.ZodType>(schema: Schema): z.output<Schema> {
    const mistakes = this.mistakesBy(schema);
    if (mistakes.length > 0) throw fileInvalid(this.name, mistakes);
    return schema.parse(this.value);
  }

  /** A mistake at this place, or where the nearest is that there is; `atKey` means the name, not what it is given. */
  mistake(path: Path, message: string, atKey = false): Mistake {
    const offset = this.#offsetOf(path, atKey);
    const { line, col } = this.#lines.linePos(offset);
    return { line: Math.max(line, 1), column: Math.max(col, 1), path: pathText(path), message };
  }

  #mistakesOf(issue: z.core.$ZodIssue, shape: Shape): Mistake[] {
    const { path } = issue;
    if (issue.code === "unrecognized_keys") {
      const known = keysAt(shape, path);
      return issue.keys.map((key) =>
        this.mistake(
          [...path, key],
          `There is no ${key} here.${didYouMean(key, known) || listed(known)}`,
          true,
        ),
      );
    }
    if (issue.code === "invalid_key") {
      const why = issue.issues.map(({ message }) => message).join("; ");
      return [this.mistake(path, `${String(path.at(-1))} cannot stand here: ${why}.`, true)];
    }
    const found = valueAt(this.value, path);
    if (found === undefined && issue.code === "invalid_type") {
      return [this.mistake(path, `${String(path.at(-1) ?? "Something")} is missing: ${wishOf(issue)}.`)];
    }
    return [this.mistake(path, `${shown(found)} does not fit: ${wishOf(issue)}.${adviceFor(issue, found)}`)];
  }

  #offsetOf(path: Path, atKey: boolean): number {
    let node: unknown = this.#root;
    let offset = startOf(node);
    for (const [depth, step] of path.entries()) {
      if (isMap(node)) {
        const pair = node.items.find(({ key }) => String(isScalar(key) ? key.value : key) === String(step));
        if (pair === undefined) break;
        const isLast = depth === path.length - 1;
        node = pair.value;
        offset = (isLast && atKey) || startOf(node) === 0 ? startOf(pair.key) : startOf(node);
      } else if (isSeq(node)) {
        node = node.items[Number(step)];
        if (node === undefined) break;
        offset = startOf(node);
      } else break;
    }
    return offset;
  }
}

/** The refusal of a file, a line for each mistake, for `throw`. */
export function fileInvalid(name: string, mistakes: readonly Mistake[]): CommandFault {
  const lines = mistakes.slice(0, MOST_MISTAKES).map((mistake) => mistakeText(name, mistake));
  const rest = mistakes.length - lines.length;
  const more = rest > 0 ? [`and ${rest} more`] : [];
  if (mistakes.length === 1) return new CommandFault("file-invalid", lines[0]!);
  return new CommandFault("file-invalid", [`${mistakes.length} mistakes`, ...lines, ...more].join("\n"));
}

/** As compilers say it, so that editors find the place. */
export function mistakeText(name: string, { line, column, path, message }: Mistake): string {
  return `${name}:${line}:${column}: ${path === "" ? "" : `${path}: `}${message}`;
}

/** What the reader lets pass: references to nothing or without end, and names that are given twice. */
function slipsIn(document: Document, lines: LineCounter): Mistake[] {
  const slips: Mistake[] = [];
  const anchors = new Set<string>();
  let aliasCount = 0;
  const at = (node: unknown, message: string): void => {
    const { line, col } = lines.linePos(startOf(node));
    slips.push({ line, column: col, path: "", message });
  };
  visit(document, {
    Node: (_key, node, path) => {
      if (!isAlias(node)) {
        if (node.anchor !== undefined) anchors.add(node.anchor);
        if (isMap(node))
          for (const key of repeated(node)) at(key, `Map keys must be unique.${REMEDIES["DUPLICATE_KEY"]}`);
        return undefined;
      }
      aliasCount += 1;
      if (aliasCount > MOST_ALIASES) {
        at(
          node,
          `There are more than ${MOST_ALIASES} references to elsewhere in the file: write some of them out.`,
        );
        return visit.BREAK;
      }
      // A destination such as *:25 looks like a reference to something.
      if (!anchors.has(node.source))
        at(
          node,
          `*${node.source} refers to nothing. If it is meant as text, put it in quotes: "*${node.source}".`,
        );
      else if (path.some((around) => isNode(around) && !isAlias(around) && around.anchor === node.source))
        at(node, `*${node.source} refers to what it stands in itself, which would have no end.`);
      return undefined;
    },
  });
  return slips;
}

/** Keys that were there before. */
function repeated({ items }: YAMLMap): unknown[] {
  const seen = new Set<unknown>();
  return items.flatMap(({ key }) => {
    if (!isScalar(key)) return [];
    // Of values that are one name in the end: 1 and "1".
    const name = String(key.value);
    if (seen.has(name)) return [key];
    seen.add(name);
    return [];
  });
}

/** What to do about what the reader of YAML calls so. */
const REMEDIES: Readonly<Record<string, string>> = {
  DUPLICATE_KEY: " Say everything of it in one place.",
  TAB_AS_INDENT: " Indent with blanks.",
  BAD_INDENT: " Lines of one list or map begin below each other.",
  MISSING_CHAR: " A quote or a bracket is not closed, or a comma is missing.",
  MULTIPLE_DOCS: " Take the line --- out: one file holds one document.",
};

/** As much of a JSON schema as is needed to know which names may stand where. */
interface Shape {
  readonly properties?: Readonly<Record<string, Shape>>;
  readonly additionalProperties?: Shape | boolean;
  readonly items?: Shape;
  readonly anyOf?: readonly Shape[];
  readonly $ref?: string;
  readonly $defs?: Readonly<Record<string, Shape>>;
}

function keysAt(root: Shape, path: Path): readonly string[] {
  let shapes: readonly Shape[] = [root];
  for (const step of path) {
    shapes = shapes
      .flatMap((shape) => alternatives(shape, root))
      .flatMap((shape) => shapesBelow(shape, String(step)));
  }
  return shapes
    .flatMap((shape) => alternatives(shape, root))
    .flatMap(({ properties = {} }) => Object.keys(properties))
    .filter((key) => key !== "$schema");
}

function shapesBelow({ properties, additionalProperties: others, items }: Shape, step: string): Shape[] {
  const named = properties?.[step];
  if (named !== undefined) return [named];
  return [others, items].filter((shape) => typeof shape === "object");
}

function alternatives(shape: Shape, root: Shape): readonly Shape[] {
  if (shape.$ref !== undefined) {
    const meant = root.$defs?.[shape.$ref.replace("#/$defs/", "")];
    return meant === undefined ? [] : alternatives(meant, root);
  }
  return shape.anyOf?.flatMap((one) => alternatives(one, root)) ?? [shape];
}

function valueAt(value: unknown, path: Path): unknown {
  let found: any = value;
  for (const step of path) found = found?.[step];
  return found;
}

function startOf(node: unknown): number {
  return isNode(node) ? (node.range?.[0] ?? 0) : 0;
}

function pathText(path: Path): string {
  return path
    .map((step) => (typeof step === "number" ? `[${step}]` : `.${String(step)}`))
    .join("")
    .replace(/^\./, "");
}

function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? "Nothing";
  return text.length > 60 ? `${text.slice(0, 59)}…` : text;
}

function listed(known: readonly string[]): string {
  return known.length === 0 ? "" : ` There are: ${known.join(", ")}.`;
}

/** What is expected, without what zod says before it. */
function wishOf(issue: z.core.$ZodIssue): string {
  if (issue.code === "invalid_type") return `${EXPECTED[issue.expected] ?? issue.expected} is expected`;
  if (issue.code === "invalid_value") return `one of ${issue.values.map(String).join(", ")} is expected`;
  if (issue.code !== "too_big" && issue.code !== "too_small") return issue.message.replace(/\.$/, "");
  const isOfNumber = !/^(array|string|set|map|file)$/.test(issue.origin);
  if (issue.code === "too_big") return `at most ${issue.maximum}${isOfNumber ? "" : " are allowed"}`;
  return isOfNumber ? `at least ${issue.minimum}` : "it is empty";
}

const EXPECTED: Readonly<Record<string, string>> = {
  int: "a whole number",
  number: "a number",
  string: "text",
  boolean: "true or false",
  array: "a list",
  object: "a map of names",
  record: "a map of names",
};

function adviceFor(issue: z.core.$ZodIssue, found: unknown): string {
  if (issue.code === "invalid_value" && typeof found === "string")
    return didYouMean(found, issue.values.map(String));
  if (issue.code !== "invalid_type") return "";
  if (issue.expected === "string" && typeof found === "number") return ` Put it in quotes: "${found}".`;
  if (issue.expected === "boolean" && /^(yes|no|on|off)$/i.test(String(found)))
    return ` Write ${/^(yes|on)$/i.test(String(found)) ? "true" : "false"}.`;
  if (issue.expected === "array" && typeof found === "string") return ` Write [${found}].`;
  if (/^(int|number)$/.test(issue.expected) && typeof found === "string") {
    return /^\d+$/.test(found)
      ? ` Write ${found} without quotes.`
      : " Times are in milliseconds, as in 120000.";
  }
  return "";
}

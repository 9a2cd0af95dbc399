/**
 * docs/OPERATING.md as something that can be carried out. A block of commands there names its
 * machine behind its language, as in ` ```sh r1 `.
 */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";

const FILE = join(import.meta.dirname, "../../docs/OPERATING.md");

/** One block of the document. */
export interface BookBlock {
  readonly heading: string;
  readonly language: string;
  /** Empty where it is not to be carried out. */
  readonly machine: string;
  readonly text: string;
}

/** One command, its continuation lines joined. */
export interface BookCommand {
  readonly text: string;
  /** Goes on until it is ended. */
  readonly isProcess: boolean;
}

/** All blocks under headings that begin so, in their order. */
export async function blocksUnder(start: string): Promise<BookBlock[]> {
  const blocks: BookBlock[] = [];
  let heading = "";
  let open: { language: string; machine: string; lines: string[] } | null = null;
  for (const line of (await readFile(FILE, "utf8")).split("\n")) {
    const [, language, machine] = /^```(\w*) ?(\w*)$/.exec(line) ?? [];
    if (language === undefined) {
      if (open !== null) open.lines.push(line);
      else if (/^#+ /.test(line)) heading = line.replace(/^#+ /, "");
    } else if (open === null) {
      open = { language, machine: machine!, lines: [] };
    } else {
      blocks.push({ heading, ...open, text: `${open.lines.join("\n")}\n` });
      open = null;
    }
  }
  const found = blocks.filter((block) => block.heading.startsWith(start));
  assert(found.length > 0, `nothing stands under ${start}`);
  return found;
}

/** The commands of a block, without comments. */
export function commandsOf({ text }: BookBlock): BookCommand[] {
  return text
    .replaceAll("\\\n", " ")
    .split("\n")
    .filter((line) => line.trim() !== "" && !line.startsWith("#"))
    .map((line) => ({ text: line, isProcess: /^npx ipshard (agent|router) /.test(line) }));
}

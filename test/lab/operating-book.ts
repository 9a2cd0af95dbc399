/**
 * docs/OPERATING.md and the pages that it leads to, as something that can be carried out. A block of
 * commands there names its machine behind its language, as in ` ```sh r1 `.
 */
import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { basename, join } from "node:path";

const DOCUMENTS = join(import.meta.dirname, "../../docs");

/** One block of a page. */
export interface BookBlock {
  /** The page, as `networks.md`. */
  readonly page: string;
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

/** All blocks under headings that begin so, page after page in their order. */
export async function blocksUnder(start: string): Promise<BookBlock[]> {
  const pages = (await readdir(join(DOCUMENTS, "operating"))).toSorted();
  const files = ["OPERATING.md", ...pages.map((page) => join("operating", page))];
  const blocks = (await Promise.all(files.map((file) => blocksOf(file)))).flat();
  const found = blocks.filter((block) => block.heading.startsWith(start));
  assert(found.length > 0, `nothing stands under ${start}`);
  return found;
}

async function blocksOf(file: string): Promise<BookBlock[]> {
  const blocks: BookBlock[] = [];
  let heading = "";
  let open: { language: string; machine: string; lines: string[] } | null = null;
  for (const line of (await readFile(join(DOCUMENTS, file), "utf8")).split("\n")) {
    const [, language, machine] = /^```(\w*) ?(\w*)$/.exec(line) ?? [];
    if (language === undefined) {
      if (open !== null) open.lines.push(line);
      else if (/^#+ /.test(line)) heading = line.replace(/^#+ /, "");
    } else if (open === null) {
      open = { language, machine: machine!, lines: [] };
    } else {
      blocks.push({ page: basename(file), heading, ...open, text: `${open.lines.join("\n")}\n` });
      open = null;
    }
  }
  return blocks;
}

/** The commands of a block, without comments. */
export function commandsOf({ text }: BookBlock): BookCommand[] {
  return text
    .replaceAll("\\\n", " ")
    .split("\n")
    .filter((line) => line.trim() !== "" && !line.startsWith("#"))
    .map((line) => ({ text: line, isProcess: /^npx ipshard (agent|router) /.test(line) }));
}

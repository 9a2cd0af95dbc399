/** Some lines of a part, drawn at random: where a mutant takes seconds, a share of them says enough. */
import { glob, readFile } from "node:fs/promises";
import { matchesGlob } from "node:path";

/** As Stryker takes them: `FILE:LINE-LINE`, so many of them, or all that there are. */
export async function sampleOf(sources: readonly string[], lineCount: number): Promise<string[]> {
  const excluded = sources.filter((source) => source.startsWith("!")).map((source) => source.slice(1));
  const lines: string[] = [];
  for await (const file of glob(sources.filter((source) => !source.startsWith("!")))) {
    if (excluded.some((pattern) => matchesGlob(file, pattern))) continue;
    const code = await readFile(file, "utf8");
    for (const [at, text] of code.split("\n").entries()) {
      if (isCode(text)) lines.push(`${file}:${at + 1}-${at + 1}`);
    }
  }
  return shuffled(lines).slice(0, lineCount);
}

/** Neither empty nor a comment, an import or a bracket alone. */
function isCode(text: string): boolean {
  return /[\w"]/.test(text) && !/^\s*(?:\/\/|\/?\*|import |export \* |\} from )/.test(text);
}

function shuffled<Item>(items: readonly Item[]): Item[] {
  const left = [...items];
  for (let at = left.length - 1; at > 0; at -= 1) {
    const other = Math.floor(Math.random() * (at + 1));
    [left[at], left[other]] = [left[other]!, left[at]!];
  }
  return left;
}

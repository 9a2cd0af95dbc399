/** Every test says which rule it holds the code to, or lies where test/README.md says why it need not. */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect, test } from "vitest";
import { titlesIn } from "./test-titles.ts";

const ROOT = join(import.meta.dirname, "../..");
const RULE_FIRST = /^["'`]\[[A-Z]{2,3}\d+\]/;

function testFiles(): string[] {
  const args = ["ls-files", "--cached", "--others", "--exclude-standard", "test"];
  return execFileSync("git", args, { cwd: ROOT, encoding: "utf8" })
    .split("\n")
    .filter((file) => file.endsWith(".test.ts") && existsSync(join(ROOT, file)));
}

/** The folders that the README excuses, one list item for each reason. */
function excusedFolders(): Set<string> {
  const readme = readFileSync(join(ROOT, "test/README.md"), "utf8");
  const reasons = readme.match(/^- `test\/.*$/gm) ?? [];
  return new Set(
    reasons.flatMap((line) => [...line.split(":")[0]!.matchAll(/`([^`]+)`/g)].map(([, folder]) => folder!)),
  );
}

test("the title of every test begins with its rule, but in folders that say why not", () => {
  const excused = excusedFolders();
  const nameless = testFiles()
    .filter((file) => !excused.has(dirname(file)))
    .flatMap((file) =>
      titlesIn(readFileSync(join(ROOT, file), "utf8"))
        .filter((title) => !RULE_FIRST.test(title))
        .map((title) => `${file}: ${title}`),
    );
  expect(nameless).toEqual([]);
  // Excuses are for the few folders where one test is about everything at once.
  expect([...excused].toSorted()).toEqual([
    "test/e2e",
    "test/fuzz",
    "test/lab",
    "test/model",
    "test/repo",
    "test/simulation",
  ]);
});

test("titles are found behind tables, and with whatever is in them", () => {
  const code = [
    'test("[PB1] one", () => {',
    '  it.each([["(", /[)"]/], [")", 1]])("two %s", () => {});',
    "  test.each<[string]>([",
    "    // A comment's (.",
    '    ["it("],',
    "  ])(",
    '    "[PB2] three",',
    "    () => {},",
    "  );",
    "  test(name, () => {});",
    "});",
  ].join("\n");
  const titles = titlesIn(code);
  expect(titles.map((title) => title.slice(0, 13))).toEqual([
    '"[PB1] one", ',
    '"two %s", () ',
    '"[PB2] three"',
    "name, () => {",
  ]);
  expect(titles.map((title) => RULE_FIRST.test(title))).toEqual([true, false, true, false]);
});

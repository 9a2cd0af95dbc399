/** Links between documents, and pictures in them, lead somewhere. */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { expect, test } from "vitest";

const ROOT = join(import.meta.dirname, "../..");
const listed = execFileSync("git", ["ls-files", "--cached", "--others", "--exclude-standard"], {
  cwd: ROOT,
  encoding: "utf8",
});
const documents = listed.split("\n").filter((file) => file.endsWith(".md") && existsSync(join(ROOT, file)));

interface Link {
  readonly from: string;
  readonly to: string;
}

function textOf(file: string): string {
  return readFileSync(join(ROOT, file), "utf8").replaceAll(/^```[^]*?^```$/gm, "");
}

/** All that do not leave the repository. */
function linksOf(from: string): Link[] {
  const targets = Array.from(textOf(from).matchAll(/\]\(([^)\s]+)\)/g), ([, to]) => to!);
  return targets.filter((to) => !/^(https?|mailto):/.test(to)).map((to) => ({ from, to }));
}

/** The names by which headings are linked to, as GitHub makes them. */
function anchorsOf(file: string): Set<string> {
  const headings = Array.from(textOf(file).matchAll(/^#+ (.*)$/gm), ([, heading]) => heading!);
  return new Set(
    headings.map((heading) =>
      heading
        .toLowerCase()
        .replaceAll(/[^\p{L}\p{N} _-]/gu, "")
        .replaceAll(" ", "-"),
    ),
  );
}

function isDead({ from, to }: Link): boolean {
  const [path = "", anchor] = to.split("#");
  const file = path === "" ? from : relative(ROOT, join(ROOT, dirname(from), path));
  if (!existsSync(join(ROOT, file))) return true;
  return anchor !== undefined && file.endsWith(".md") && !anchorsOf(file).has(anchor);
}

test("every link in a document leads to a file, and to a heading that it has", () => {
  const links = documents.flatMap(linksOf);
  expect(links.length).toBeGreaterThan(100);
  expect(links.filter(isDead)).toEqual([]);
});

test("every document is found from the README, in two steps at most", () => {
  const reached = new Set(["README.md"]);
  for (const step of [1, 2]) {
    const before = new Set(reached);
    for (const from of before) {
      for (const { to } of linksOf(from)) {
        const [path = ""] = to.split("#");
        if (path.endsWith(".md")) reached.add(relative(ROOT, join(ROOT, dirname(from), path)));
      }
    }
    expect(reached.size, `after step ${step}`).toBeGreaterThan(10);
  }
  const own = documents.filter((file) => /^(docs\/(?!adr\/)|[^/]+$)/.test(file));
  expect(own.filter((file) => !reached.has(file))).toEqual([]);
});

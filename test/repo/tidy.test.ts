/** The repository's own shape: rules and tests cite each other, files stay small and say what they are. */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { expect, test } from "vitest";
import { OLDEST_NODE } from "../packages/node-versions.ts";
import { titlesIn } from "./test-titles.ts";

const ROOT = join(import.meta.dirname, "../..");
const RULE = /\[([A-Z]{2,3}\d+)\]/g;

// What is committed, and what is about to be.
const files = execFileSync("git", ["ls-files", "--cached", "--others", "--exclude-standard"], {
  cwd: ROOT,
  encoding: "utf8",
})
  .split("\n")
  .filter((file) => file !== "" && existsSync(join(ROOT, file)));
const sources = files.filter((file) => /\.(tsx?|js)$/.test(file));
const tests = sources.filter((file) => file.endsWith(".test.ts"));
const documents = files.filter((file) => file.endsWith(".md"));

function read(file: string): string {
  return readFileSync(join(ROOT, file), "utf8");
}

/** The laws and the rules that are stated, one list item each: `- **LE4** A former holder …`. */
function statedRules(): string[] {
  const text = read("docs/LAWS.md") + read("docs/SPEC.md");
  return [...text.matchAll(/^- \*\*([A-Z]{2,3}\d+)\*\*/gm)].map((match) => match[1]!);
}

/** The rules that the title of some test begins with. */
function testedRules(): Set<string> {
  const tested = new Set<string>();
  for (const file of tests) {
    for (const title of titlesIn(read(file))) {
      const [citations] = /^["'`](?:\[[A-Z]{2,3}\d+\] ?)+/.exec(title) ?? [""];
      for (const [, rule] of citations.matchAll(RULE)) tested.add(rule!);
    }
  }
  return tested;
}

/** The rules that comments of the sources speak of. */
function citedRules(): Map<string, string> {
  const cited = new Map<string, string>();
  for (const file of sources.filter((name) => !tests.includes(name))) {
    for (const line of read(file).split("\n")) {
      if (!/^\s*(\/\/|\/?\*)/.test(line)) continue;
      for (const [, rule] of line.matchAll(RULE)) cited.set(rule!, file);
    }
  }
  return cited;
}

function lineCount(file: string): number {
  return read(file).trimEnd().split("\n").length;
}

function isLong(file: string): boolean {
  return lineCount(file) > (/^(test|bench)\//.test(file) ? 600 : 400);
}

/** Whether nothing says what a file is for; one with one export may leave it to that one's docstring. */
function isSilent(file: string): boolean {
  const text = read(file).replace(/^#!.*\n/, "");
  return !text.startsWith("/") && (text.match(/^export /gm) ?? []).length !== 1;
}

/** Whether a file does nothing but pass on what others export. */
function isBarrel(file: string): boolean {
  const code = read(file)
    .replace(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, "")
    .trim();
  return code !== "" && /^(export\s+(type\s+)?(\*|\{[^}]*\})[^;]*\sfrom\s[^;]*;\s*)+$/.test(code);
}

function headingCount(document: string): number {
  const withoutCode = read(document).replace(/^```[\s\S]*?^```/gm, "");
  return (withoutCode.match(/^# \S/gm) ?? []).length;
}

test("every rule of the specification is stated once and begins the title of a test", () => {
  const stated = statedRules();
  expect(stated.length).toBeGreaterThan(0);
  expect(stated.filter((rule, at) => stated.indexOf(rule) !== at)).toEqual([]);
  const tested = testedRules();
  expect(stated.filter((rule) => !tested.has(rule))).toEqual([]);
});

test("every rule that a test or a comment cites is in the specification", () => {
  const stated = new Set(statedRules());
  expect([...testedRules()].filter((rule) => !stated.has(rule))).toEqual([]);
  expect([...citedRules()].filter(([rule]) => !stated.has(rule))).toEqual([]);
});

test("a law is said to be checked by the simulator's checks and judge if they can find it broken, and only then", () => {
  const laws = [...read("docs/LAWS.md").matchAll(/^- \*\*LAW(\d+)\*\*.*\n.*Checked by: (.*)$/gm)];
  expect(laws).toHaveLength(10);
  const checks = read("test/simulation/law-checks.ts");
  const judge = read("test/simulation/second-opinion.test.ts");
  for (const [, law, checked] of laws) {
    const told = `law ${law}: ${checked}`;
    expect(/(^|, )checks[,.]/.test(checked!), told).toBe(checks.includes(`"law ${law}"`));
    expect(checked!.includes("second opinion"), told).toBe(judge.includes(`[LAW${law}]`));
  }
});

test("files stay within 400 lines, tests and benches within 600", () => {
  expect(sources.filter(isLong)).toEqual([]);
});

test("every source opens by saying what it is", () => {
  expect(sources.filter((file) => !tests.includes(file) && isSilent(file))).toEqual([]);
});

test("no file is named after nothing, and none only passes on what others export", () => {
  const vague = /^(utils?|helpers?|common|misc|types|shared)\b/;
  expect(files.filter((file) => vague.test(basename(file)))).toEqual([]);
  expect(sources.filter(isBarrel)).toEqual([]);
});

test("nothing is left for later in a comment", () => {
  // Written so that this line is not what it looks for.
  const later = /\b(FIX[M]E|TO[D]O|XX[X])\b/;
  const written = files.filter((file) => /\.(ts|js|md|toml)$/.test(file) || file === ".ci/run");
  expect(written.filter((file) => later.test(read(file)))).toEqual([]);
});

test("every document has one first heading", () => {
  expect(documents.length).toBeGreaterThan(0);
  expect(documents.filter((file) => headingCount(file) !== 1)).toEqual([]);
});

interface LockEntry {
  readonly integrity?: string;
  readonly optional?: boolean;
  readonly os?: readonly string[];
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

test("the lock file says what is installed, not from where", () => {
  const lock = read("package-lock.json");
  expect(lock).not.toMatch(/"resolved"/);
  expect(lock).not.toMatch(/https?:\/\/[^"]*\.tgz/);
});

test("the lock file names every package, also those of other systems, which `npm ci` insists on", () => {
  const { packages } = JSON.parse(read("package-lock.json")) as { packages: Record<string, LockEntry> };
  const entries = Object.entries(packages).filter(([path]) => path !== "");
  // A package of another system may be without its hash: not every registry that this was made with has it.
  const unproven = entries.filter(([, entry]) => !entry.integrity && !(entry.optional && entry.os));
  expect(unproven.map(([path]) => path)).toEqual([]);
  const missing = entries.flatMap(([path, { optionalDependencies = {} }]) =>
    Object.keys(optionalDependencies)
      .map((name) => [`node_modules/${name}`, `${path}/node_modules/${name}`])
      .filter((places) => !places.some((place) => place in packages)),
  );
  expect(missing).toEqual([]);
});

test("dependencies are pinned, and what runs is bundled with what it imports: who installs it gets no others", () => {
  const manifest = JSON.parse(read("package.json")) as Record<string, Record<string, string>>;
  const { dependencies = {}, devDependencies = {} } = manifest;
  // A library that is new here belongs among `devDependencies`. [PK1]
  expect(dependencies).toEqual({});
  for (const version of Object.values(devDependencies)) {
    expect(version).toMatch(/^\d+\.\d+\.\d+(-[\w.]+)?$/);
  }
  const imported = new Set<string>();
  for (const file of sources.filter((name) => /^(bin|src|durable-objects)\//.test(name))) {
    for (const [, name] of read(file).matchAll(/^(?:import|export)\b(?:[^;"]*\bfrom)?\s*"([^".][^"]*)"/gm)) {
      if (/^(node|cloudflare):/.test(name!)) continue;
      imported.add(
        name!
          .split("/")
          .slice(0, name!.startsWith("@") ? 2 : 1)
          .join("/"),
      );
    }
  }
  expect([...imported].filter((name) => !(name in devDependencies))).toEqual([]);
});

test("a clone brings the Node that it runs on, and an older one is enough to begin with", () => {
  const { engines, devEngines, devDependencies } = JSON.parse(read("package.json"));
  expect(devDependencies.node).toMatch(/^24\./);
  // What is built runs on older ones, and is tested there.
  expect(engines.node).toBe(`^${OLDEST_NODE} || >=24.0.0`);
  // With this npm does not hold the engines against a clone, only against who installs the package.
  expect(devEngines.runtime).toEqual({ name: "node", version: ">=20" });
});

test("the licence is the whole of Apache-2.0", () => {
  const text = read("LICENSE");
  expect(text).toContain("Version 2.0, January 2004");
  expect(text).toContain("END OF TERMS AND CONDITIONS");
  for (let clause = 1; clause <= 9; clause += 1) expect(text).toMatch(new RegExp(`^ {3}${clause}\\. `, "m"));
});

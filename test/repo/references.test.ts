/** The references in docs/reference are what `npm run docs` makes of the code. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { expect, test } from "vitest";
import { agentCommand } from "../../src/agent/command-line.ts";
import { ROUTES } from "../../src/api/routes.ts";
import { DEFAULT_POOL_SETTINGS } from "../../src/core/pool-settings.ts";
import { PROBLEM_CODES } from "../../src/core/problems.ts";
import { COMMAND_FAULTS } from "../../src/process/command-fault.ts";
import { SDK_CODES } from "../../src/sdk/egress-error.ts";
import { LINK_REFUSALS } from "../../src/wire/message-parsers.ts";
import { routerCommand } from "../../src/router/command-line.ts";
import { REFERENCES } from "../reference/main.ts";

const ROOT = join(import.meta.dirname, "../..");
const CLI = join(ROOT, "bin/ipshard.js");

function reference(name: string): string {
  return readFileSync(join(ROOT, "docs/reference", name), "utf8");
}

/** What stands as code in the first cell of each row. */
function firstCells(text: string): string[] {
  return Array.from(text.matchAll(/^\| `([^`]+)` \|/gm), ([, cell]) => cell!);
}

function help(...args: readonly string[]): string {
  return execFileSync(process.execPath, [CLI, ...args, "--help"], {
    encoding: "utf8",
    env: { ...process.env, NO_COLOR: "1", COLUMNS: "200" },
  });
}

test("every reference is what the code says now; otherwise: npm run docs", () => {
  for (const [file, write] of REFERENCES) {
    expect(readFileSync(file, "utf8") === write(), `${basename(file)} is current`).toBe(true);
  }
});

test("every error code is in the reference, and the other way round", () => {
  const codes = [
    ...PROBLEM_CODES,
    ...Object.keys(COMMAND_FAULTS),
    ...LINK_REFUSALS,
    ...Object.keys(SDK_CODES),
  ];
  expect(firstCells(reference("errors.md"))).toEqual(codes);
  const text = reference("errors.md");
  expect(text, "each has a meaning of its own").not.toContain("The edge refuses:");
});

test("every verb of the help is in the reference, and the other way round", () => {
  const listed = Array.from(help().matchAll(/^ {2}([a-z]+)(?: |$)/gm), ([, verb]) => verb!);
  const verbs = listed.filter((verb) => verb !== "help");
  expect(verbs.length).toBeGreaterThan(15);
  const headings = Array.from(reference("cli.md").matchAll(/^## ipshard (\w+)$/gm), ([, verb]) => verb!);
  expect([...new Set(headings)]).toEqual(verbs);
});

test("options that a program's help tells are those of its section", () => {
  for (const words of ["agent", "router", "doctor router", "edge", "host drain"]) {
    const [, section] =
      new RegExp(`^## ipshard ${words}$([^]*?)(?=^## |$(?![^]))`, "m").exec(reference("cli.md")) ?? [];
    const told = Array.from(
      help(...words.split(" ")).matchAll(/^ +(?:-\w, )?(--[a-z-]+)/gm),
      ([, flag]) => flag!,
    );
    const expected = told.filter((flag) => flag !== "--help");
    expect(expected.length, words).toBeGreaterThan(0);
    const flags = firstCells(section ?? "").flatMap((cell) => /--[a-z-]+/.exec(cell) ?? []);
    expect(flags, words).toEqual(expected);
  }
});

test("every option of agents and routers, every setting and every route has a row", () => {
  const nowhere = (): void => {};
  const cli = reference("cli.md");
  for (const { flags, hidden } of [...agentCommand(nowhere).options, ...routerCommand(nowhere).options]) {
    if (!hidden) expect(cli).toContain(`| \`${flags}\` |`);
  }
  const settings = reference("settings.md").split("## A file of pools")[0]!;
  expect(firstCells(settings)).toEqual(Object.keys(DEFAULT_POOL_SETTINGS));
  expect(settings, "each setting has a meaning").not.toMatch(/\| {2}\|$/m);
  const routes = Object.values(ROUTES).map(({ method, path }) => `${method.toUpperCase()} ${path}`);
  expect(firstCells(reference("api.md").split("## Each route")[0]!)).toEqual(routes);
});

/** The commands of ours that a page names, each from its verb to its end. */
function commandsIn(page: string): string[] {
  const text = readFileSync(page, "utf8").replaceAll("\\\n", " ");
  return Array.from(text.matchAll(/\bnpx ipshard +([a-z][^`\n|#;&]*)/g), ([, command]) => command!.trim());
}

test("every verb and option that a page names is one", () => {
  const [, ...sections] = reference("cli.md").split(/^## ipshard /m);
  const optionsOf = new Map(
    sections.map((section) => {
      const options = Array.from(section.matchAll(/^\| `(?:-\w, )?(--[\w-]+)/gm), ([, option]) => option!);
      return [section.split("\n", 1)[0]!, new Set(["--help", ...options])] as const;
    }),
  );
  const pages = execFileSync("git", ["ls-files", "-co", "--exclude-standard", "*.md"], {
    cwd: ROOT,
    encoding: "utf8",
  })
    .trim()
    .split("\n")
    .filter((page) => !page.startsWith("docs/reference/"));
  // Without a word behind it, `token` signs one.
  optionsOf.set("token", optionsOf.get("token issue")!);
  const wrong: string[] = [];
  let count = 0;
  for (const page of pages) {
    for (const command of commandsIn(join(ROOT, page))) {
      const [own = ""] = command.split(/ -- |\$\(/);
      const words = own.split(/\s+/).filter((word) => word !== "");
      const verb = [3, 2, 1]
        .map((length) => words.slice(0, length).join(" "))
        .find((name) => optionsOf.has(name));
      const options = words.filter((word) => /^--[a-z]/.test(word)).map((word) => /^--[\w-]+/.exec(word)![0]);
      count += 1;
      if (verb === undefined || options.some((option) => !optionsOf.get(verb)!.has(option))) {
        wrong.push(`${page}: ${command}`);
      }
    }
  }
  expect(wrong).toEqual([]);
  expect(count).toBeGreaterThan(100);
});

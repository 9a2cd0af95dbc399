/**
 * Who may import whom is each folder's `references`, which the compiler enforces. Here
 * violations are planted, one at a time, to prove that it does.
 */
import { execFile } from "node:child_process";
import { cp, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";

const ROOT = join(import.meta.dirname, "../..");
const COPIED = ["src", "durable-objects", "package.json", "tsconfig.json", "tsconfig.base.json"];

const FOLDERS = [
  "src/core",
  "src/wire",
  "src/client",
  "durable-objects",
  "src/worker",
  "src/link",
  "src/agent",
  "src/router",
  "src/cli",
] as const;
type Folder = (typeof FOLDERS)[number];

/** The whole of it: what each folder may import beyond itself. */
const ARROWS: Readonly<Record<Folder, readonly Folder[]>> = {
  "src/core": [],
  "src/wire": ["src/core"],
  "src/client": ["src/core", "src/wire"],
  "durable-objects": ["src/core", "src/wire"],
  "src/worker": ["src/core", "src/wire", "durable-objects"],
  "src/link": ["src/core", "src/wire"],
  "src/agent": ["src/core", "src/wire", "src/link"],
  "src/router": ["src/core", "src/wire", "src/link"],
  "src/cli": ["src/core", "src/wire", "src/client", "src/link"],
};

/** What does not exist where a folder's code runs. */
const UNKNOWN: readonly (readonly [Folder, string, string])[] = [
  ["src/core", "export const timer = setTimeout(() => {}, 1);", "setTimeout"],
  ["src/core", "export const now = performance.now();", "performance"],
  ["src/core", 'export const said = console.log("seen");', "console"],
  ["src/core", "export const { pid } = process;", "process"],
  ["src/core", "export const id = crypto.randomUUID();", "crypto"],
  ["src/core", 'export const reply = fetch("http://example.com/");', "fetch"],
  ["src/core", 'export * from "node:fs";', "node:fs"],
  ["src/wire", 'export * from "node:fs";', "node:fs"],
  ["src/client", 'export * from "node:fs";', "node:fs"],
  ["src/client", "export const { pid } = process;", "process"],
  ["src/agent", 'export * from "cloudflare:workers";', "cloudflare:workers"],
];

const FORBIDDEN = FOLDERS.flatMap((from) =>
  FOLDERS.filter((to) => to !== from && !ARROWS[from].includes(to)).map((to) => [from, to] as const),
);

let copy: string;
/** What the compiler says of a folder with every violation planted in it, and with every permitted import. */
const verdicts = new Map<string, string>();

beforeAll(async () => {
  copy = await mkdtemp(join(tmpdir(), "ipshard-arrows-"));
  for (const name of COPIED) await cp(join(ROOT, name), join(copy, name), { recursive: true });
  await symlink(join(ROOT, "node_modules"), join(copy, "node_modules"));
  for (const folder of FOLDERS) {
    const permitted: [string, string][] = [];
    for (const to of ARROWS[folder]) permitted.push([fileFor(to), await valueImport(folder, to)]);
    verdicts.set(`${folder} as permitted`, await compileWith(folder, permitted));
    // By themselves: a file that is not of the project may keep the compiler from looking further.
    const unknown = UNKNOWN.filter(([from]) => from === folder);
    const strangers = unknown.map(([_from, code, name]): [string, string] => [fileFor(name), code]);
    verdicts.set(`${folder} with strangers`, await compileWith(folder, strangers));
    const planted: [string, string][] = [];
    for (const [from, to] of FORBIDDEN) {
      if (from !== folder) continue;
      planted.push([`value-of-${fileFor(to)}`, await valueImport(from, to)]);
      planted.push([`type-of-${fileFor(to)}`, await typeImport(from, to)]);
    }
    verdicts.set(folder, await compileWith(folder, planted));
  }
}, 120_000);
afterAll(() => rm(copy, { recursive: true, force: true }));

/** What `tsc -b` says of a folder with these files added; empty if it has nothing against it. */
async function compileWith(folder: Folder, files: readonly (readonly [string, string])[]): Promise<string> {
  for (const [file, code] of files) await writeFile(join(copy, folder, file), `${code}\n`);
  const said = await new Promise<string>((resolve) => {
    execFile(join(ROOT, "node_modules/.bin/tsc"), ["-b", folder], { cwd: copy }, (_fault, stdout) =>
      resolve(stdout),
    );
  });
  for (const [file] of files) await rm(join(copy, folder, file));
  return said;
}

function fileFor(what: string): string {
  return `planted-${what.replace(/\W+/g, "-")}.ts`;
}

async function valueImport(from: Folder, to: Folder): Promise<string> {
  const { path, name } = await exportOf(from, to);
  return `import { ${name} } from "${path}";\nexport type Planted = typeof ${name};`;
}

async function typeImport(from: Folder, to: Folder): Promise<string> {
  return `export type Planted = typeof import("${(await exportOf(from, to)).path}");`;
}

/** The way from one folder to a module of another, and something that it exports. */
async function exportOf(from: Folder, to: Folder): Promise<{ path: string; name: string }> {
  const up = from.split("/").map(() => "..");
  for (const module of await readdir(join(ROOT, to))) {
    if (!module.endsWith(".ts")) continue;
    const code = await readFile(join(ROOT, to, module), "utf8");
    const match = /^export (?:async )?(?:function|const|class) (\w+)/m.exec(code);
    if (match) return { path: [...up, to, module].join("/"), name: match[1]! };
  }
  throw new Error(`${to} exports nothing`);
}

/** Whether one of the compiler's complaints is of this kind and about this file. */
function isBlamed(folder: Folder, file: string, complaint: string, verdict: string = folder): boolean {
  // A complaint begins at the margin; reasons, such as who else imports the same, are indented.
  const complaints = verdicts.get(verdict)!.split(/^(?=\S)/m);
  return complaints.some((text) => text.includes(`${folder}/${file}`) && text.includes(complaint));
}

test.each(FOLDERS)("%s compiles, and with an import of everything that it may import", (folder) => {
  expect(verdicts.get(`${folder} as permitted`)).toBe("");
});

test.each(FORBIDDEN)("%s cannot import %s, neither values nor types", (from, to) => {
  const notListed = "error TS6307";
  expect(isBlamed(from, `value-of-${fileFor(to)}`, notListed), verdicts.get(from)).toBe(true);
  expect(isBlamed(from, `type-of-${fileFor(to)}`, notListed), verdicts.get(from)).toBe(true);
});

test.each(UNKNOWN)("%s: `%s` does not compile", (folder, _code, unknown) => {
  const verdict = `${folder} with strangers`;
  expect(isBlamed(folder, fileFor(unknown), `'${unknown}'`, verdict), verdicts.get(verdict)).toBe(true);
});

test("the core imports no package either, which compilers permit", async () => {
  const folder = join(ROOT, "src/core");
  const foreign: string[] = [];
  for (const file of await readdir(folder)) {
    if (!file.endsWith(".ts")) continue;
    const code = await readFile(join(folder, file), "utf8");
    for (const [, module] of code.matchAll(/\b(?:from|import|import\()\s*"([^"]+)"/g)) {
      if (!/^\.\/[\w-]+\.ts$/.test(module!)) foreign.push(`${file}: ${module}`);
    }
  }
  expect(foreign).toEqual([]);
});

/**
 * Who may import whom is each folder's `references`, which the compiler enforces. Here
 * violations are planted, one at a time, to prove that it does.
 */
import { execFile } from "node:child_process";
import { cp, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";

const ROOT = join(import.meta.dirname, "../..");
const COPIED = ["src", "durable-objects", "package.json", "tsconfig.json", "tsconfig.base.json"];

/** The whole of it: what each folder may import beyond itself, and with that what those may. */
const ARROWS = {
  "src/core": [],
  // Judges destinations, for hosts and for those who ask beforehand.
  "src/policy": ["src/core"],
  "src/wire": ["src/core", "src/policy"],
  "src/api": ["src/core", "src/wire"],
  "src/plan": ["src/core"],
  // The page in the browser: all that it knows of the edge are types, and the planner.
  "src/dashboard": ["src/core", "src/api", "src/plan"],
  "src/sdk": ["src/core", "src/wire"],
  // What only Node has, and drivers that were written for it.
  "src/sdk/node": ["src/sdk"],
  "durable-objects/storage": [],
  "durable-objects/audit": ["src/core", "durable-objects/storage"],
  "durable-objects/events": ["src/core", "durable-objects/storage"],
  // All that an address and a pool know of each other.
  "durable-objects/calls": ["src/core"],
  "durable-objects/platform": ["src/core", "src/wire", "durable-objects/storage"],
  "durable-objects/steering": [
    "src/core",
    "src/wire",
    "durable-objects/storage",
    "durable-objects/calls",
    "durable-objects/events",
    "durable-objects/platform",
  ],
  // Those who look at an address or a pool by a page.
  "durable-objects/viewing": ["src/core", "src/wire", "durable-objects/calls", "durable-objects/platform"],
  "durable-objects/address": [
    "src/core",
    "src/wire",
    "durable-objects/storage",
    "durable-objects/calls",
    "durable-objects/platform",
    "durable-objects/viewing",
  ],
  "durable-objects/pool": [
    "src/core",
    "src/wire",
    "durable-objects/storage",
    "durable-objects/calls",
    "durable-objects/platform",
    "durable-objects/steering",
    "durable-objects/audit",
    "durable-objects/events",
    "durable-objects/viewing",
  ],
  "durable-objects/catalogue": ["durable-objects/storage"],
  "durable-objects/register": [
    "src/core",
    "src/wire",
    "durable-objects/audit",
    "durable-objects/storage",
    "durable-objects/calls",
    "durable-objects/platform",
  ],
  "durable-objects": [
    "durable-objects/address",
    "durable-objects/catalogue",
    "durable-objects/pool",
    "durable-objects/register",
  ],
  "src/worker/runtime": ["src/core", "src/wire", "src/api", "durable-objects"],
  "src/worker/hosts": ["src/core", "src/worker/runtime"],
  "src/worker/identity": ["src/core", "src/wire", "durable-objects", "src/worker/runtime"],
  "src/worker/egress": [
    "src/core",
    "src/wire",
    "src/api",
    "src/metrics",
    "src/worker/runtime",
    "src/worker/hosts",
    "src/worker/identity",
  ],
  // Puts the rooms together, behind its routes.
  "src/worker": [
    "src/core",
    "src/wire",
    "src/api",
    "src/metrics",
    "durable-objects/address",
    "durable-objects/calls",
    "durable-objects/catalogue",
    "durable-objects/pool",
    "durable-objects/register",
    "durable-objects",
    "src/worker/runtime",
    "src/worker/hosts",
    "src/worker/identity",
    "src/worker/egress",
  ],
  "src/process": ["src/core"],
  // Names, and how they are written down. What reads and tells them is Node's.
  "src/metrics": [],
  "src/metrics/node": ["src/core", "src/wire", "src/process", "src/metrics"],
  "src/link": ["src/core", "src/wire", "src/process"],
  // The language of nftables, and the programs that tell the kernel.
  "src/linux/nftables": ["src/core"],
  "src/linux": [],
  "src/agent/egress": ["src/core", "src/policy", "src/process"],
  "src/agent/tenants": ["src/core", "src/policy", "src/process", "src/agent/egress"],
  "src/agent/admission": ["src/core", "src/policy", "src/wire", "src/agent/egress", "src/agent/tenants"],
  "src/agent/flow-log": ["src/core", "src/wire", "src/process", "src/agent/egress"],
  "src/agent/leasing": ["src/core", "src/wire", "src/process", "src/link", "src/agent/egress"],
  "src/agent/machine": ["src/core", "src/process", "src/linux/nftables", "src/linux", "src/agent/egress"],
  "src/agent/traffic": [
    "src/core",
    "src/policy",
    "src/wire",
    "src/process",
    "src/agent/egress",
    "src/agent/admission",
  ],
  "src/agent/uplink": ["src/core", "src/process", "src/linux", "src/agent/egress"],
  "src/agent/division": ["src/core", "src/process", "src/agent/egress"],
  // What is told of a host to who looks at its pool.
  "src/agent/watch": ["src/core", "src/process"],
  // The kernel's part of addresses.
  "src/agent/translation": [
    "src/core",
    "src/policy",
    "src/process",
    "src/linux/nftables",
    "src/linux",
    "src/agent/division",
  ],
  "src/agent/processes": [
    "src/core",
    "src/wire",
    "src/process",
    "src/metrics/node",
    "src/agent/egress",
    "src/agent/leasing",
    "src/agent/division",
    "src/agent/watch",
  ],
  // Puts the rooms together.
  "src/agent": [
    "src/core",
    "src/policy",
    "src/wire",
    "src/process",
    "src/metrics",
    "src/metrics/node",
    "src/link",
    "src/agent/egress",
    "src/agent/admission",
    "src/agent/tenants",
    "src/agent/flow-log",
    "src/agent/leasing",
    "src/agent/machine",
    "src/agent/processes",
    "src/agent/traffic",
    "src/agent/translation",
    "src/linux",
    "src/agent/uplink",
    "src/agent/watch",
  ],
  // What it looks at is the machine; for the rest it asks as a client does.
  "src/agent/doctor": ["src/wire", "src/process", "src/link", "src/agent/machine", "src/agent/translation"],
  "src/router/steering": ["src/core"],
  "src/router/feed": ["src/core", "src/wire", "src/process", "src/link", "src/linux", "src/router/steering"],
  "src/router/rules": ["src/core", "src/linux/nftables", "src/router/steering"],
  "src/router/xdp": ["src/core", "src/linux/nftables", "src/router/steering", "src/router/rules"],
  "src/router/kernel": [
    "src/core",
    "src/linux/nftables",
    "src/linux",
    "src/process",
    "src/router/steering",
    "src/router/rules",
    "src/router/xdp",
  ],
  // Puts the rooms together; the doctor looks at all of it.
  "src/router": [
    "src/core",
    "src/wire",
    "src/process",
    "src/metrics/node",
    "src/link",
    "src/router/steering",
    "src/router/feed",
    "src/router/rules",
    "src/router/kernel",
  ],
  "src/router/doctor": [
    "src/core",
    "src/process",
    "src/link",
    "src/linux/nftables",
    "src/linux",
    "src/router/steering",
    "src/router/feed",
    "src/router/rules",
    "src/router/xdp",
    "src/router/kernel",
    "src/router",
  ],
  "src/cli": ["src/core", "src/policy", "src/wire", "src/api", "src/plan", "src/sdk", "src/process"],
  // The edge as its clients see it, of the edge's and the gateway's own judgements.
  "src/testing/edge": [
    "src/core",
    "src/policy",
    "src/wire",
    "src/sdk",
    "src/agent/egress",
    "src/agent/traffic",
    "src/worker/runtime",
    "src/worker/identity",
    "src/worker/egress",
  ],
  "src/testing/node": ["src/wire", "src/testing/edge"],
  "src/testing/worker": ["src/wire", "src/sdk", "src/testing/edge"],
  // Builds what is packed; nothing that runs knows of it.
  "src/packaging": ["src/process", "src/cli", "src/router/kernel"],
} as const;
type Folder = keyof typeof ARROWS;
const FOLDERS = Object.keys(ARROWS) as Folder[];

/** Where one project holds several folders: what each may import of the others. */
const INNER_ARROWS: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>> = {
  "src/agent/traffic": {
    gateway: ["fetch", "raw-tcp", "websocket", "clients", "origins", "http", "tls"],
    proxy: ["socks", "tunnel", "fetch", "websocket", "clients", "origins", "http", "tls"],
    socks: ["tunnel", "clients"],
    tunnel: ["clients", "http", "origins"],
    fetch: ["clients", "origins", "http"],
    "raw-tcp": ["websocket", "clients", "tls"],
    websocket: ["clients", "origins", "http", "tls"],
    clients: ["http"],
    origins: ["http1", "http2", "http", "tls"],
    http1: ["http", "tls"],
    http2: ["http"],
    http: [],
    tls: [],
  },
  "src/cli": {
    // Each verb by itself: none imports another.
    verbs: [
      "one-machine",
      "edge",
      "supervision",
      "credentials",
      "planning",
      "judging",
      "attribution",
      "administration",
      "completion",
      "desired",
      "contexts",
      "output",
    ],
    "one-machine": ["edge", "supervision", "credentials"],
    edge: ["supervision", "credentials", "output"],
    supervision: [],
    judging: ["credentials"],
    completion: ["credentials", "contexts"],
    credentials: ["contexts", "output"],
    contexts: [],
    planning: [],
    attribution: ["output"],
    administration: ["output"],
    desired: [],
    output: [],
  },
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
  ["src/api", 'export * from "node:fs";', "node:fs"],
  ["src/policy", 'export * from "node:fs";', "node:fs"],
  ["src/plan", 'export * from "node:fs";', "node:fs"],
  ["src/dashboard", 'export * from "node:fs";', "node:fs"],
  ["src/dashboard", "export const { pid } = process;", "process"],
  ["src/sdk", 'export * from "node:fs";', "node:fs"],
  ["src/sdk", "export const { pid } = process;", "process"],
  ["src/sdk/node", 'export * from "cloudflare:workers";', "cloudflare:workers"],
  ["src/linux/nftables", 'export * from "node:fs";', "node:fs"],
  ["src/router/steering", 'export * from "node:fs";', "node:fs"],
  ["src/router/rules", 'export * from "node:fs";', "node:fs"],
  ["src/router/xdp", 'export * from "node:fs";', "node:fs"],
  ["src/router/rules", "export const { pid } = process;", "process"],
  ["src/agent", 'export * from "cloudflare:workers";', "cloudflare:workers"],
  ["src/agent/traffic", 'export * from "cloudflare:workers";', "cloudflare:workers"],
  ["durable-objects/storage", 'export * from "cloudflare:workers";', "cloudflare:workers"],
  ["durable-objects/calls", 'export * from "cloudflare:workers";', "cloudflare:workers"],
];

const FORBIDDEN = FOLDERS.flatMap((from) =>
  FOLDERS.filter((to) => to !== from && !mayImport(from, to)).map((to) => [from, to] as const),
);

/** What is imported: a file in each folder. One of its own, since real ones bring along all that they import. */
const TARGET = "planted-target.ts";
const TARGET_CODE = 'export const target = "value";\nexport type Target = "type";\n';

/** Something to compile in a folder, in a file of this name. */
interface Planted {
  readonly folder: Folder;
  readonly file: string;
  readonly code: string;
}

let copy: string;
/** What the compiler says of every permitted import and every stranger, and of every violation. */
const said = { permitted: "", violations: "" };

beforeAll(async () => {
  copy = await mkdtemp(join(tmpdir(), "ipshard-arrows-"));
  for (const name of COPIED) await cp(join(ROOT, name), join(copy, name), { recursive: true });
  await symlink(join(ROOT, "node_modules"), join(copy, "node_modules"));
  const permitted = UNKNOWN.map(([folder, code, name]): Planted => ({ folder, file: fileFor(name), code }));
  const violations: Planted[] = [];
  for (const folder of FOLDERS) {
    await writeFile(join(copy, folder, TARGET), TARGET_CODE);
    for (const to of ARROWS[folder])
      permitted.push({ folder, file: fileFor(to), code: valueImport(folder, to) });
  }
  for (const [folder, to] of FORBIDDEN) {
    violations.push({ folder, file: `value-of-${fileFor(to)}`, code: valueImport(folder, to) });
    violations.push({ folder, file: `type-of-${fileFor(to)}`, code: typeImport(folder, to) });
  }
  said.permitted = await compileWith(permitted);
  // By themselves: a file that is not of the project may keep the compiler from looking further.
  said.violations = await compileWith(violations);
}, 300_000);
afterAll(() => rm(copy, { recursive: true, force: true }));

/** The compiler follows the references of references. */
function mayImport(from: Folder, to: Folder): boolean {
  return ARROWS[from].some((next) => next === to || mayImport(next, to));
}

/** What `tsc -b` says of all folders with these files added; empty if it has nothing against them. */
async function compileWith(planted: readonly Planted[]): Promise<string> {
  for (const { folder, file, code } of planted) await writeFile(join(copy, folder, file), `${code}\n`);
  const output = await new Promise<string>((resolve) => {
    execFile(
      join(ROOT, "node_modules/.bin/tsc"),
      ["-b", ...FOLDERS],
      { cwd: copy, maxBuffer: 64 * 1024 * 1024 },
      (_fault, stdout) => resolve(stdout),
    );
  });
  for (const { folder, file } of planted) await rm(join(copy, folder, file));
  return output;
}

function fileFor(what: string): string {
  return `planted-${what.replace(/\W+/g, "-")}.ts`;
}

function valueImport(from: Folder, to: Folder): string {
  return `import { target } from "${wayToTarget(from, to)}";\nexport const planted = target;`;
}

function typeImport(from: Folder, to: Folder): string {
  return `import type { Target } from "${wayToTarget(from, to)}";\nexport type Planted = Target;`;
}

function wayToTarget(from: Folder, to: Folder): string {
  return [...from.split("/").map(() => ".."), to, TARGET].join("/");
}

/** A complaint begins at the margin; reasons, such as who else imports the same, are indented. */
function complaintsIn(output: string): string[] {
  return output.split(/^(?=\S)/m);
}

function complaintsOf(output: string, file: string): string[] {
  return complaintsIn(output).filter((complaint) => complaint.includes(file));
}

test.each(FOLDERS)("%s compiles with an import of everything that it may import", (folder) => {
  const planted = ARROWS[folder].map((to) => `${folder}/${fileFor(to)}`);
  expect(planted.flatMap((file) => complaintsOf(said.permitted, file))).toEqual([]);
});

test("the compiler complains of nothing but strangers where all is permitted", () => {
  const strangers = UNKNOWN.map(([folder, _code, name]) => `${folder}/${fileFor(name)}`);
  const others = complaintsIn(said.permitted).filter(
    (text) => !strangers.some((name) => text.includes(name)),
  );
  expect(others).toEqual([]);
});

test.each(FORBIDDEN)("%s cannot import %s, neither values nor types", (from, to) => {
  const notListed = expect.stringContaining("error TS6307");
  for (const what of ["value", "type"]) {
    const about = `${from}/${what}-of-${fileFor(to)}`;
    expect(complaintsOf(said.violations, about), about).toContainEqual(notListed);
  }
});

test.each(UNKNOWN)("%s: `%s` does not compile", (folder, _code, unknown) => {
  const about = `${folder}/${fileFor(unknown)}`;
  expect(complaintsOf(said.permitted, about)).toContainEqual(expect.stringContaining(`'${unknown}'`));
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

test.each(Object.entries(INNER_ARROWS))(
  "the folders of %s import what is listed, and in one direction",
  async (within, arrows) => {
    const room = join(ROOT, within);
    const entries = await readdir(room, { withFileTypes: true });
    const folders = entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
    expect(folders.toSorted()).toEqual(Object.keys(arrows).toSorted());
    const seen = new Set<string>();
    for (const folder of folders) {
      for (const file of await readdir(join(room, folder))) {
        const code = await readFile(join(room, folder, file), "utf8");
        for (const [, to] of code.matchAll(/"\.\.\/([\w-]+)\//g)) seen.add(`${folder} → ${to}`);
      }
    }
    const listed = Object.entries(arrows).flatMap(([from, list]) => list.map((to) => `${from} → ${to}`));
    expect([...seen].toSorted()).toEqual(listed.toSorted());
    // Each is listed above all that it may import.
    const order = Object.keys(arrows);
    for (const [from, list] of Object.entries(arrows)) {
      for (const to of list)
        expect(order.indexOf(to), `${from} → ${to}`).toBeGreaterThan(order.indexOf(from));
    }
  },
);

test("no verb of the command line imports another", async () => {
  const verbs = join(ROOT, "src/cli/verbs");
  const code = await Promise.all((await readdir(verbs)).map((file) => readFile(join(verbs, file), "utf8")));
  expect(code.length).toBeGreaterThan(0);
  expect(code.filter((text) => /"\.\/[\w-]+\.ts"/.test(text))).toEqual([]);
});

test("each folder refers to what is listed and no more, and imports something of all of it", async () => {
  for (const folder of FOLDERS) {
    const { references } = JSON.parse(await readFile(join(ROOT, folder, "tsconfig.json"), "utf8")) as {
      references: { path: string }[];
    };
    const referred = references.map(({ path }) => relative(ROOT, join(ROOT, folder, path)));
    expect(referred.toSorted(), folder).toEqual([...ARROWS[folder]].toSorted());
    const imported = new Set<string>();
    for (const file of await readdir(join(ROOT, folder), { recursive: true })) {
      const path = join(folder, file);
      if (!/\.tsx?$/.test(file) || folderOf(path) !== folder) continue;
      const code = await readFile(join(ROOT, path), "utf8");
      for (const [, module] of code.matchAll(/\b(?:from|import|import\()\s*"(\.[^"]+)"/g)) {
        imported.add(folderOf(join(dirname(path), module!)));
      }
    }
    imported.delete(folder);
    expect([...imported].toSorted(), folder).toEqual(referred.toSorted());
  }
});

/** The innermost of the folders in which a file is. */
function folderOf(path: string): string {
  const around = FOLDERS.filter((folder) => path.startsWith(`${folder}/`));
  return around.toSorted((a, b) => b.length - a.length)[0] ?? "";
}

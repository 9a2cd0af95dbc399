/** What is packed, installed by strangers: what is in it, and that all of it runs on the Nodes that it names. */
import { createServer } from "node:net";
import { once } from "node:events";
import { cp, readdir, readFile, stat, writeFile } from "node:fs/promises";
import type { AddressInfo } from "node:net";
import { isBuiltin } from "node:module";
import { join } from "node:path";
import { build, type Plugin } from "esbuild";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { until } from "../cli/processes.ts";
import { oldestNode, OLDEST_NODE } from "./node-versions.ts";
import {
  installedIn,
  lend,
  newProject,
  pack,
  type PackedFile,
  type Project,
  removeProjects,
  temporaryProject,
} from "./projects.ts";
import { endAll, freePorts, Running } from "./running.ts";

const ROOT = join(import.meta.dirname, "../..");
const BIN = "node_modules/.bin/ipshard";
const SHARED_IP = "127.0.0.10";
const NODES: readonly [string, () => Promise<string>][] = [
  [OLDEST_NODE, oldestNode],
  [process.versions.node, async () => process.execPath],
];

let whole: PackedFile;
let sdk: PackedFile;
let isSamePage: boolean;
beforeAll(async () => {
  const directory = await temporaryProject();
  const page = join(ROOT, "dist/dashboard");
  const { ino } = await stat(page);
  // As whoever publishes does it: `npm pack` builds what it packs.
  whole = await pack(ROOT, directory, true);
  isSamePage = (await stat(page)).ino === ino;
  sdk = await pack(join(ROOT, "dist/sdk-package"), directory);
});
afterAll(removeProjects);

test("[PK1] the package is what was built, without sources, tests and dependencies", async () => {
  const paths = whole.files.map(({ path }) => path);
  expect(paths).toEqual(expect.arrayContaining(["package.json", "README.md", "LICENSE", "bin/ipshard.js"]));
  const others = paths.filter((path) => !/^(bin|dist)\//.test(path));
  expect(others.toSorted()).toEqual(["LICENSE", "README.md", "docs/ipshard.schema.json", "package.json"]);
  expect(paths.filter((path) => path.endsWith(".ts") && !path.endsWith(".d.ts"))).toEqual([]);
  const manifest = JSON.parse(await readFile(join(ROOT, "package.json"), "utf8"));
  expect(manifest).not.toHaveProperty("dependencies");
  expect(manifest).not.toHaveProperty("optionalDependencies");
  expect(Object.keys(manifest.scripts)).not.toEqual(
    expect.arrayContaining([expect.stringMatching(/^(pre|post)?install$/)]),
  );
  expect(manifest.publishConfig).toEqual({ access: "public", provenance: true });
  expect(manifest.engines.node).toBe(`^${OLDEST_NODE} || >=24.0.0`);
});

test("[DA8] what is built takes the place of what was built before, and an edge that serves the page goes on", () => {
  expect(isSamePage).toBe(true);
});

test("[PK4] the whole takes less than 15 MB, and the SDK by itself less than 100 kB", () => {
  expect(whole.unpackedSize).toBeLessThan(15_000_000);
  expect(sdk.unpackedSize).toBeLessThan(100_000);
  expect(sdk.files.map(({ path }) => path).filter((path) => /node\/|edge\//.test(path))).toEqual([
    "dist/sdk/types/sdk/node/node-socket.d.ts",
  ]);
});

test("[PK3] only own-files.ts looks for files of the package by where a module is", async () => {
  const sources = await readdir(join(ROOT, "src"), { recursive: true });
  const looking = [];
  for (const file of sources.filter((name) => name.endsWith(".ts"))) {
    const text = await readFile(join(ROOT, "src", file), "utf8");
    // What is resolved by a name is found from wherever.
    if (/import\.meta\./.test(text.replaceAll(/\w+Require\(import\.meta\.url\)/g, ""))) looking.push(file);
  }
  // The stand-in's Worker lies beside it when it is built, and only then. How the page is built is no part of it.
  const parts = looking.filter((file) => file !== "dashboard/vite.config.ts");
  expect(parts.toSorted()).toEqual(["process/own-files.ts", "testing/node/egress-worker.ts"]);
});

test("[PK8] what is built loads itself, and modules of its platform, and no others", async () => {
  const built = whole.files.map(({ path }) => path).filter((path) => /^dist\/.*\.js$/.test(path));
  const asked = new Set<string>();
  const noting: Plugin = {
    name: "noting",
    setup: (bundling) => {
      bundling.onResolve({ filter: /.*/ }, ({ kind, path }) => {
        if (kind === "entry-point") return null;
        asked.add(path);
        return { path, external: true };
      });
    },
  };
  await build({
    absWorkingDir: ROOT,
    entryPoints: built,
    bundle: true,
    write: false,
    outdir: "nowhere",
    format: "esm",
    logLevel: "silent",
    plugins: [noting],
  });
  // Bundled CommonJS calls a function of the file's own.
  for (const file of built) {
    const text = await readFile(join(ROOT, file), "utf8");
    for (const [, path] of text.matchAll(/require\("([^"]+)"\)/gi)) asked.add(path!);
  }
  expect(asked.has("stream")).toBe(true);
  expect(asked.has("node:net")).toBe(true);
  const foreign = [...asked].filter((path) => !/^(\.\/|cloudflare:)/.test(path) && !isBuiltin(path));
  expect(foreign).toEqual([]);
});

test("[PK7] the notices of all whose work is bundled go with it", async () => {
  const notices = await readFile(join(ROOT, "dist/THIRD-PARTY-NOTICES.txt"), "utf8");
  for (const name of ["commander", "hono", "jose", "pino", "ws", "zod"]) {
    expect(notices).toMatch(
      new RegExp(`^${name} \\d+\\.\\d+\\.\\d+ \\(MIT\\)\\n\\n[^]*?Permission is hereby`, "m"),
    );
  }
  // No package of whose licence nothing is known is in it: each names one.
  expect(notices).not.toMatch(/^\S+ \d\S* \(see below\)/m);
  expect(sdk.files.map(({ path }) => path)).toContain("dist/sdk/THIRD-PARTY-NOTICES.txt");
});

describe.each(NODES)("on Node %s", (version, nodeOf) => {
  let node: string;
  let project: Project;
  beforeAll(async () => {
    node = await nodeOf();
    project = await newProject(node, whole);
  });
  afterAll(endAll);

  test("[PK1] it is installed without a registry, and brings nothing else", async () => {
    expect(await installedIn(project)).toEqual(["ipshard"]);
    expect((await project.run("node", ["--version"])).stdout.trim()).toBe(`v${version}`);
  });

  test("[PK2] the command runs", async () => {
    const manifest = JSON.parse(await readFile(join(ROOT, "package.json"), "utf8"));
    expect(await project.run("npx", ["ipshard", "--version"])).toEqual({
      stdout: `${manifest.version}\n`,
      stderr: "",
    });
    for (const verb of ["agent", "router", "doctor"]) {
      const { stdout, stderr } = await project.run("node", [BIN, verb, "--help"]);
      expect(stdout).toMatch(/^Usage: ipshard /);
      expect(stderr).toBe("");
    }
    const keys = JSON.parse((await project.run("node", [BIN, "keys"])).stdout);
    expect(keys.keys[0]).toMatchObject({ kty: "OKP", alg: "Ed25519" });
    expect(JSON.parse((await project.run("node", [BIN, "config", "schema"])).stdout)).toHaveProperty(
      "$schema",
    );
    // Each part of a file is judged by its program.
    await writeFile(join(project.directory, "ipshard.yaml"), "router:\n  no-such-option: 1\n");
    await expect(project.run("node", [BIN, "config", "check", "ipshard.yaml"])).rejects.toMatchObject({
      stderr: expect.stringContaining("no-such-option"),
    });
  });

  test("[PK5] what has no workerd says what to install, and all else works without it", async () => {
    const edge = project.run("node", [BIN, "edge", "--port", String(await freePorts(1))]);
    await expect(edge).rejects.toMatchObject({
      code: 1,
      stderr: expect.stringMatching(
        /workerd, which is not installed.*npm install workerd \[workerd-unusable\]/,
      ),
    });
  });

  test("[PK1] [PK3] hosts lease and send, in one process and in several, and the SDK sends through them", async () => {
    await lend(project, "workerd");
    const first = await freePorts(8);
    const start = new Running(node, project, ["start", "--port", String(first), "--state", "state"]);
    await start.untilSaid("Ctrl-C ends it all.");
    const tokenOf = async (role: string, name: string): Promise<string> => {
      const claims = ["--role", role, "--name", name, "--pool", "default", "--state", "state"];
      return (await project.run("node", [BIN, "token", ...claims])).stdout.trim();
    };
    await writeFile(join(project.directory, "h3.token"), await tokenOf("host", "h3"), { mode: 0o600 });
    const options = {
      edge: `http://127.0.0.1:${first}`,
      pool: "default",
      "token-file": "h3.token",
      state: "h3",
      listen: `127.0.0.1:${first + 6}`,
      proxy: `127.0.0.1:${first + 7}`,
      allow: "127.0.0.0/8",
      processes: "2",
    };
    const words = Object.entries(options).flatMap(([name, value]) => [`--${name}`, value]);
    const divided = new Running(node, project, ["agent", ...words]);
    await divided.untilSaid("leases taken up");

    const echo = createServer((socket) => socket.pipe(socket)).listen(0, "127.0.0.20");
    await once(echo, "listening");
    const to = `127.0.0.20:${(echo.address() as AddressInfo).port}`;
    const token = await tokenOf("client", "me");
    const origin = `http://127.0.0.20:${first + 3}/hello`;
    const { stdout } = await project.runModule(CALLER, `http://127.0.0.1:${first}`, token, origin, to);
    const said = JSON.parse(stdout);
    expect(said).toMatchObject({
      body: { address: SHARED_IP, path: "/hello" },
      source: { ip: SHARED_IP },
      code: "destination-prohibited",
      echoed: "ping",
      piped: "pong",
    });
    expect(said.source.port).toBe(said.body.port);
    // As they stand, with the package in the place where npm has put it.
    await cp(join(ROOT, "examples"), join(project.directory, "examples"), { recursive: true });
    const access = [`EGRESS_URL=http://127.0.0.1:${first}`, `EGRESS_TOKEN=${token}`];
    const example = (name: string, ...args: readonly string[]) =>
      project.run("env", [...access, "node", join("examples", name), ...args]);
    const ordered = await example("node-sdk/orders.js", origin);
    expect(JSON.parse(ordered.stdout)).toMatchObject({ status: 200, from: SHARED_IP });
    await expect(example("node-sdk/orders.js", "http://10.0.0.1/")).rejects.toMatchObject({
      code: 1,
      stderr: "refused: destination-prohibited\n",
    });
    const carts = JSON.parse((await example("sticky-sessions/carts.js", origin, "4")).stdout);
    expect(Object.values(carts)).toEqual(Array.from({ length: 4 }, () => [SHARED_IP, SHARED_IP, SHARED_IP]));
    // The agent with several processes, whose program is built as well.
    await until("a data process has its part of the leases", async () => {
      const proxied = await project.run("curl", ["-s", "-x", `http://127.0.0.1:${first + 7}`, origin]);
      return proxied.stdout.includes(`"address":"${SHARED_IP}"`);
    });

    expect(await divided.end()).toBe(0);
    expect(await start.end()).toBe(0);
    echo.close();
  });
});

test.each([
  ["of the DOM", ["ES2022", "DOM", "DOM.Iterable"], [], ""],
  [
    "of Node",
    ["ES2022"],
    ["node"],
    `import { NodeSocket } from "NAME/node-socket"; new NodeSocket(socket).write("x");`,
  ],
  [
    "of Workers",
    ["ES2022"],
    ["@cloudflare/workers-types"],
    `declare const EGRESS: Fetcher; createEgress({ binding: EGRESS });`,
  ],
])("[PK6] the types need none beyond those %s", async (_whose, lib, types, more) => {
  const project = await newProject(process.execPath, whole, sdk);
  await lend(
    project,
    "typescript",
    "undici-types",
    ...types.map((name) => name.replace(/^node$/, "@types/node")),
  );
  const options = { strict: true, noEmit: true, module: "NodeNext", target: "ES2022", skipLibCheck: false };
  const config = {
    compilerOptions: { ...options, lib, types },
    files: ["ipshard.ts", "sdk.ts", "testing.ts"],
  };
  await writeFile(join(project.directory, "tsconfig.json"), JSON.stringify(config));
  await writeFile(join(project.directory, "testing.ts"), TYPED_TESTING);
  for (const [file, name] of [
    ["ipshard.ts", "ipshard"],
    ["sdk.ts", "@ipshard/sdk"],
  ] as const) {
    await writeFile(join(project.directory, file), `${TYPED}${more}`.replaceAll("NAME", name));
  }
  const compiled = project.run("node", ["node_modules/typescript/bin/tsc", "-p", "."]);
  expect(await compiled.catch((fault: { stdout: string }) => fault)).toEqual({ stdout: "", stderr: "" });
});

test("[PK3] [DA8] the built Worker is what wrangler deploys, with the page", async () => {
  const paths = whole.files.map(({ path }) => path);
  expect(paths).toContain("dist/dashboard/index.html");
  expect(paths).toContainEqual(expect.stringMatching(/^dist\/dashboard\/assets\/index-[\w-]+\.js$/));
  const project = await newProject(process.execPath, whole);
  await lend(project, "wrangler");
  const config = join(project.directory, "node_modules/ipshard/dist/edge/wrangler.toml");
  const words = ["deploy", "--dry-run", "--outdir", "bundled", "--config", config];
  const { stdout } = await project.run("node", ["node_modules/wrangler/bin/wrangler.js", ...words]);
  for (const name of ["EgressIp", "EgressPool", "PoolCatalogue", "AccessRegister"])
    expect(stdout).toContain(name);
  expect(stdout).toMatch(/env\.DASHBOARD +Assets/);
});

test("[PK2] an older Node is told which one is needed", async () => {
  const project = await newProject(process.execPath, whole);
  // What it lacks is what the command looks for.
  const without = "data:text/javascript,delete process.execve";
  const call = project.run("node", ["--import", without, BIN, "--version"]);
  await expect(call).rejects.toMatchObject({
    code: 1,
    stderr: expect.stringContaining("Use Node 22.15 or later, or 24"),
  });
});

/** What is to be typed, and a mistake that the types find. */
const TYPED = `
import { createEgress, EgressError, egressOf, type EgressSocket } from "NAME";
const egress = createEgress({ endpoint: "https://edge.example", token: async () => "t", pool: "eu" });
export async function call(): Promise<string> {
  const response = await egress.fetch("https://o.example/", { method: "POST", body: "x", egress: { session: "s" } });
  const port: number = egressOf(response)!.port;
  return port + (await response.text());
}
export const socket: EgressSocket = egress.connect({ hostname: "db.example", port: 5432 }, { secureTransport: "on" });
export const isFull = (fault: unknown) => fault instanceof EgressError && fault.code === "port-block-exhausted";
// @ts-expect-error: no key of a selection.
void egress.fetch("https://o.example/", { egress: { contry: "de" } });
`;

const TYPED_TESTING = `
import { egressControl, egressForVitest, startEgress, TROUBLE, type StandInCall } from "ipshard/testing";
export async function use(): Promise<readonly StandInCall[]> {
  const egress = await startEgress({ answers: { "http://a.test/*": { status: 404, headers: { "x-a": ["1", "2"] } } } });
  await egress.next(TROUBLE.exhausted, { refuse: "draining" });
  // @ts-expect-error: no code of a refusal.
  await egress.next({ refuse: "no-such-code" });
  return egressControl(egress.url).calls();
}
export const { workers } = egressForVitest({ binding: "OUT" });
`;

/** Both ways of the SDK, as a service in Node uses them. */
const CALLER = `
import { once } from "node:events";
import { createEgress, EgressError, egressOf } from "ipshard";
import { NodeSocket } from "ipshard/node-socket";
const [endpoint, token, origin, to] = process.argv.slice(2);
const egress = createEgress({ endpoint, token });
const response = await egress.fetch(origin);
const source = egressOf(response);
const body = await response.json();
const fault = await egress.fetch("http://10.0.0.1/").catch((fault) => fault);
const socket = egress.connect(to);
const writer = socket.writable.getWriter();
await writer.write(new TextEncoder().encode("ping"));
const { value } = await socket.readable.getReader().read();
const echoed = new TextDecoder().decode(value);
await socket.close();
const piped = new NodeSocket(egress.connect(to));
piped.write("pong");
const [bytes] = await once(piped, "data");
piped.destroy();
const code = fault instanceof EgressError ? fault.code : String(fault);
console.log(JSON.stringify({ body, source, code, echoed, piped: bytes.toString() }));
`;

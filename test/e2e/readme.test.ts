/** The examples of README.md, carried out as they stand there, against a real edge and its hosts. */
import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdir, readFile, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import { promisify } from "node:util";
import { build } from "esbuild";
import { parse } from "smol-toml";
import { afterAll, beforeAll, expect, test } from "vitest";
import { parseWranglerConfig } from "../../src/cli/edge/wrangler-config.ts";
import { Cluster, EGRESS_IP, freePort, POOL, until } from "./cluster.ts";
import { personEnvironment } from "../runner/person-environment.ts";
import { testedProgram } from "../runner/tested-program.ts";

const ROOT = join(import.meta.dirname, "../..");
/** What the examples ask for; here it is the origin of the test. */
const EXAMPLE = "https://api.example.com/v1/orders";
const run = promisify(execFile);

/** The blocks of the document that were looked for here. */
const carriedOut = new Set<string>();

async function allBlocks(): Promise<{ language: string; text: string }[]> {
  const text = await readFile(join(ROOT, "README.md"), "utf8");
  const blocks = text.matchAll(/^```(\w*)\n([\s\S]*?)^```$/gm);
  return Array.from(blocks, ([, language, block]) => ({ language: language!, text: block! }));
}

/** A block of the document, by its language and something that stands in it. */
async function blockOf(language: string, mark: string): Promise<string> {
  const found = (await allBlocks()).filter(
    ({ language: own, text }) => own === language && text.includes(mark),
  );
  assert.equal(found.length, 1, `one block of ${language} with ${mark}`);
  carriedOut.add(found[0]!.text);
  return found[0]!.text;
}

/** The block with each of these put in place of what an example must make up. */
function filledIn(block: string, places: Readonly<Record<string, string>>): string {
  let text = block;
  for (const [from, to] of Object.entries(places)) {
    assert(text.includes(from), `the example still says ${from}`);
    text = text.replaceAll(from, to);
  }
  return text;
}

let cluster: Cluster;
let proxyPort: number;
let directory: string;
let environment: NodeJS.ProcessEnv;
const children: { pid: number; exited: Promise<unknown> }[] = [];

beforeAll(async () => {
  proxyPort = await freePort();
  cluster = await Cluster.start({ hosts: ["h1"], agentArgs: [`--proxy=127.0.0.1:${proxyPort}`] });
  directory = join(cluster.directory, "clone");
  const tools = join(cluster.directory, "tools");
  await mkdir(directory);
  await mkdir(tools);
  // A clone in which nothing was kept yet, but that its keys are those of the edge that runs.
  await run("cp", ["-r", join(cluster.directory, "keys"), join(directory, ".keys")]);
  await mkdir(join(directory, ".ipshard"));
  await run("mv", [join(directory, ".keys"), join(directory, ".ipshard", "keys")]);
  // The page is built from it, beside it.
  await run("cp", ["-r", join(ROOT, "src"), join(directory, "src")]);
  for (const file of [
    "tsconfig.base.json",
    "durable-objects",
    "node_modules",
    "wrangler.toml",
    "package.json",
  ]) {
    await run("ln", ["-s", join(ROOT, file), join(directory, file)]);
  }
  const npx = `#!/bin/sh
case "$1" in
  ipshard) shift; exec '${process.execPath}' '${ROOT}/src/cli/main.ts' "$@" ;;
  wrangler) shift; exec '${process.execPath}' '${ROOT}/node_modules/wrangler/bin/wrangler.js' "$@" ;;
  vite) shift; exec '${process.execPath}' '${ROOT}/node_modules/vite/bin/vite.js' "$@" ;;
esac
exit 127
`;
  await writeFile(join(tools, "npx"), npx);
  await chmod(join(tools, "npx"), 0o755);
  environment = {
    ...personEnvironment(),
    PATH: `${tools}:${process.env["PATH"]}`,
    WRANGLER_SEND_METRICS: "false",
    XDG_CONFIG_HOME: join(directory, "config"),
    CI: "1",
  };
});
afterAll(async () => {
  for (const { pid } of children) process.kill(-pid, "SIGKILL");
  await Promise.all(children.map(({ exited }) => exited));
  await cluster?.stop();
});

/** Runs a script as the document's reader would, in the clone; resolves with what it printed. */
async function shell(script: string): Promise<string> {
  const { stdout } = await run("sh", ["-e", "-c", script], { cwd: directory, env: environment });
  return stdout;
}

/** Starts what goes on until it is ended. */
function start(command: string, args: readonly string[], env = environment): { said: () => string } {
  const child = spawn(command, args, {
    cwd: directory,
    env,
    detached: true,
    stdio: ["ignore", "pipe", "pipe"],
  });
  let said = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (chunk: Buffer) => {
      said += chunk.toString();
    });
  }
  children.push({ pid: child.pid!, exited: once(child, "exit") });
  return { said: () => said };
}

test("by HTTP", async () => {
  const block = filledIn(await blockOf("sh", "/v1/fetch?url="), {
    "http://127.0.0.1:8787": cluster.edgeUrl,
    [EXAMPLE]: cluster.originUrl("/seen"),
  });
  const answer = await shell(block);
  expect(answer).toMatch(/^HTTP\/1\.1 200 /);
  expect(answer.toLowerCase()).toMatch(/egress-ip: 127\.0\.0\.10\r\n[^]*egress-port: \d+\r\n/);
  expect(answer).toContain('"method":"GET"');
});

test("by a proxy, without a token on this machine and with one", async () => {
  const block = filledIn(await blockOf("sh", "curl -x"), {
    "http://127.0.0.1:3128": `http://127.0.0.1:${proxyPort}`,
    // There it has a certificate.
    "https://pool=eu": `http://pool=${POOL}`,
    "h1.example.com:3128": `127.0.0.1:${proxyPort}`,
    [EXAMPLE]: cluster.originUrl("/seen"),
  });
  const answers = await shell(`TOKEN=${await cluster.token("client", "tester")}\n${block}`);
  const seen = Array.from(answers.matchAll(/"address":"([^"]+)"/g), ([, address]) => address);
  expect(seen).toEqual([EGRESS_IP, EGRESS_IP]);
});

test("by the SDK", async () => {
  const block = filledIn(await blockOf("ts", "createEgress({ endpoint:"), {
    // As whoever installs it has it; here it is not installed.
    '"ipshard"': '"./src/sdk/egress.ts"',
    "http://127.0.0.1:8787": cluster.edgeUrl,
    [EXAMPLE]: cluster.originUrl("/upload"),
  });
  const token = await cluster.token("client", "tester");
  const file = join(directory, "example.ts");
  const before = `const token = ${JSON.stringify(token)}; const body = "twelve bytes";\n`;
  await writeFile(file, `${before}${block}\nconsole.log(await response.text());\n`);
  const { stdout } = await run(process.execPath, ["--preserve-symlinks", "--preserve-symlinks-main", file]);
  expect(JSON.parse(stdout)).toMatchObject({ byteCount: 12, framing: "length" });
});

test("on Cloudflare, but for the last step, which is Cloudflare's", async () => {
  const block = filledIn(await blockOf("sh", "wrangler deploy"), {
    "npx wrangler deploy": "npx wrangler deploy --dry-run --outdir deployed",
  });
  const said = await shell(block);
  expect(said).toContain("--dry-run: exiting now.");
  expect(said).toMatch(/env\.EGRESS_IP .*Durable Object/);
  // Nothing that is private is said.
  expect(said).not.toContain('"d":');
});

test("with a pool, an address and a host of one's own", async () => {
  const port = await freePort();
  const block = filledIn(await blockOf("sh", "npx ipshard agent"), {
    "https://ipshard.example.workers.dev": cluster.edgeUrl,
    "192.0.2.1": "127.0.0.12",
    "/var/lib/ipshard": join(directory, "state"),
    "127.0.0.1:8443": `127.0.0.1:${port}`,
    "https://h1.example.com": `http://127.0.0.1:${port} --allow 127.0.0.20/30`,
  });
  const at = block.indexOf("npx ipshard agent");
  const [before, agent] = [block.slice(0, at), block.slice(at)];
  expect(await shell(before)).toMatch(/Context default is the current one[^]*\n127\.0\.0\.12 +serving/);
  const { said } = start("sh", ["-c", `EDGE=${cluster.edgeUrl}; exec ${agent}`]);
  const headers = { "egress-authorization": `Bearer ${await cluster.token("client", "tester", ["eu"])}` };
  await until("the host of the example serves", async () => {
    const response = await fetch(cluster.through(cluster.originUrl("/seen")), { headers });
    const text = await response.text();
    assert.equal(response.status, 200, text + said());
    expect(JSON.parse(text)).toMatchObject({ address: "127.0.0.12" });
    return true;
  });
});

test("by a service binding", async () => {
  const { services } = parse(await blockOf("toml", "[[services]]")) as {
    services: { binding: string; service: string; entrypoint: string; props?: object }[];
  };
  expect(services.length).toBe(1);
  const [{ binding, service, entrypoint, props }] = services as [(typeof services)[number]];
  const declaration = parseWranglerConfig(await readFile(join(ROOT, "wrangler.toml"), "utf8"));
  expect(service).toBe(declaration.name);
  const block = filledIn(await blockOf("ts", "env.EGRESS.fetch"), { [EXAMPLE]: cluster.originUrl("/seen") });
  const shop = join(cluster.directory, "edge", "shop.js");
  await build({
    stdin: { contents: `export default { async fetch(request, env) { ${block} return response; } };` },
    format: "esm",
    outfile: shop,
  });
  // The edge as it runs, on its own storage no more, with the other Worker beside it.
  await cluster.killEdge();
  const config = join(cluster.directory, "edge", "with-shop.capnp");
  const port = await freePort();
  const storage = join(cluster.directory, "edge", "storage");
  const edge = await readFile(join(cluster.directory, "edge", "config.capnp"), "utf8");
  expect(edge).toContain(storage);
  await writeFile(
    config,
    edge
      .replace("  services = [\n", '  services = [\n    (name = "shop", worker = .shop),\n')
      .replace(
        "  sockets = [\n",
        `  sockets = [\n    (name = "shop", address = "127.0.0.1:${port}", http = (), service = "shop"),\n`,
      ) +
      `const shop :Workerd.Worker = (
  modules = [(name = "shop.js", esModule = embed "shop.js")],
  compatibilityDate = "${declaration.compatibilityDate}",
  bindings = [(name = "${binding}", service = (name = "edge", entrypoint = "${entrypoint}"${
    props === undefined ? "" : `, props = (json = ${JSON.stringify(JSON.stringify(props))})`
  }))],
);
`,
  );
  const keys = join(cluster.directory, "keys");
  const edgeKey = JSON.parse(await readFile(join(keys, "edge.json"), "utf8")) as object;
  const { d: _private, ...issuer } = JSON.parse(await readFile(join(keys, "issuer.json"), "utf8")) as {
    d: string;
  };
  const workerd = createRequire(import.meta.url)("workerd").default as string;
  const values = { ISSUER_KEYS: JSON.stringify({ keys: [issuer] }), EDGE_KEY: JSON.stringify(edgeKey) };
  start(workerd, ["serve", "--experimental", config], { ...environment, ...values });
  await until("the shop is served through the egress", async () => {
    const response = await fetch(`http://127.0.0.1:${port}/`);
    const text = await response.text();
    assert.equal(response.status, 200, text);
    expect(JSON.parse(text)).toMatchObject({ address: EGRESS_IP, method: "GET" });
    expect(response.headers.get("egress-host")).toBe("h1");
    return true;
  });
  expect(props).toMatchObject({ pool: POOL });
});

test("an agent takes the part of its options by which containers are translated; the laboratory lets them send", async () => {
  const file = join(directory, "agent.yaml");
  await writeFile(file, await blockOf("yaml", "snat:"));
  const others = "--edge=https://edge.example.com --pool=eu --token-file=t --state=s --listen=127.0.0.1:0";
  const words = ["agent", "--config", file, ...others.split(" "), "--check-config", "--files-elsewhere"];
  const { stdout } = await run(process.execPath, [testedProgram("cli"), ...words], { env: environment });
  expect(stdout).toBe("All that is configured can be used.\n");
});

test("every block of the document was carried out here, but those that begin in a fresh clone", async () => {
  // test/e2e/clone.test.ts and dev.test.ts start it, and what runs this test is the third.
  const begun = (await allBlocks()).filter(({ text }) => /^npm (?:ci && npm |run dev$)/m.test(text));
  const elsewhere = ["npm ci && npm start\n", "npm ci && npm test\n", "npm run dev\n"];
  expect(begun.map(({ text }) => text)).toEqual(elsewhere);
  const others = (await allBlocks()).filter((block) => !begun.some(({ text }) => text === block.text));
  expect(others.map(({ text }) => text).filter((text) => !carriedOut.has(text))).toEqual([]);
});

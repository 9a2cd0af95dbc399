/**
 * The examples that need no Worker, run as they stand, with the SDK as the sources have it. That of the Worker is
 * run in `dev.test.ts`, and those of the SDK with the package that is published in `installed.test.ts`.
 */
import { execFile } from "node:child_process";
import { cp, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { build } from "esbuild";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Cluster, EGRESS_IP, freePort } from "./cluster.ts";

const ROOT = join(import.meta.dirname, "../..");
const OTHER_IP = "127.0.0.11";
const run = promisify(execFile);

let cluster: Cluster;
let examples: string;
let proxy: string;

beforeAll(async () => {
  proxy = `127.0.0.1:${await freePort()}`;
  cluster = await Cluster.start({ hosts: ["h1"], agentArgs: [`--proxy=${proxy}`] });
  examples = join(cluster.directory, "examples");
  await cp(join(ROOT, "examples"), examples, { recursive: true });
  // A project that has the package: its entry is the SDK.
  const installed = join(cluster.directory, "node_modules/ipshard");
  await mkdir(installed, { recursive: true });
  await writeFile(join(installed, "package.json"), '{"type":"module","exports":"./egress.js"}');
  await writeFile(join(cluster.directory, "package.json"), '{"type":"module"}');
  await build({
    entryPoints: [join(ROOT, "src/sdk/egress.ts")],
    bundle: true,
    format: "esm",
    outfile: join(installed, "egress.js"),
  });
});
afterAll(() => cluster?.stop());

/** Runs a program of the examples, and resolves with what it printed. */
async function example(
  directory: string,
  command: readonly string[],
  more: Readonly<Record<string, string>> = {},
): Promise<string> {
  const env = { PATH: process.env["PATH"], ...(await access()), ...more };
  const { stdout } = await run(command[0]!, command.slice(1), { cwd: join(examples, directory), env });
  return stdout;
}

async function access(): Promise<Record<string, string>> {
  return { EGRESS_URL: cluster.edgeUrl, EGRESS_TOKEN: await cluster.token("client", "tester") };
}

test("Node with the SDK", async () => {
  const said = await example("node-sdk", [process.execPath, "orders.js", cluster.originUrl("/upload")]);
  expect(JSON.parse(said)).toMatchObject({
    status: 200,
    from: EGRESS_IP,
    body: { byteCount: '{"article":"tea","count":2}'.length },
  });
});

test("Node with the SDK, refused", async () => {
  const refused = example("node-sdk", [process.execPath, "orders.js", "http://127.0.0.1:1/"]);
  await expect(refused).rejects.toMatchObject({ code: 1, stderr: "refused: destination-prohibited\n" });
});

test.each([
  ["curl", ["curl", "-sSf"]],
  ["Python", ["python3", "report.py"]],
])("any program through the proxy: %s", async (_name, program) => {
  const command = ["./with-egress.sh", ...program, cluster.originUrl("/seen")];
  const here = { EGRESS_PROXY: `http://${proxy}`, EGRESS_TOKEN: "", no_proxy: "127.0.0.0/8", NO_PROXY: "*" };
  expect(JSON.parse(await example("any-program", command, here))).toMatchObject({ address: EGRESS_IP });
});

test("any program through the proxy, with a selection and a token", async () => {
  const command = ["./with-egress.sh", "curl", "-sSf", cluster.originUrl("/seen")];
  const selecting = (select: string) =>
    example("any-program", command, { EGRESS_PROXY: `http://${proxy}`, EGRESS_SELECT: select });
  expect(JSON.parse(await selecting("session=cart-42"))).toMatchObject({ address: EGRESS_IP });
  // A slip is refused, and does not leave from anywhere.
  await expect(selecting("sesion=cart-42")).rejects.toMatchObject({ stderr: expect.stringContaining("400") });
});

test("sticky sessions: each cart has one address, and all addresses have carts", async () => {
  await cluster.api.putIp({ pool: "default", ip: OTHER_IP });
  await expect
    .poll(async () => (await cluster.apiAs("client", "tester").makeGatewayToken()).hosts[0]?.ips.length, {
      timeout: 60_000,
    })
    .toBe(2);
  const said = await example("sticky-sessions", [
    process.execPath,
    "carts.js",
    cluster.originUrl("/seen"),
    "16",
  ]);
  const carts = Object.values(JSON.parse(said) as Record<string, string[]>);
  expect(carts.length).toBe(16);
  for (const seenFrom of carts) {
    expect(seenFrom.length).toBe(3);
    expect(new Set(seenFrom).size).toBe(1);
  }
  expect(new Set(carts.flat())).toEqual(new Set([EGRESS_IP, OTHER_IP]));
});

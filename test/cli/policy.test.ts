/** `ipshard policy test` as a process: what it explains, and how it ends. */
import { execFile } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { readJudgedPlace } from "../../src/cli/judging/judged-place.ts";
import { rulesIn } from "../../src/cli/judging/policy-file.ts";
import { DEFAULT_POOL_POLICY, NO_LIMITS } from "../../src/core/pool-policy.ts";
import { startNameServer } from "../e2e/name-server.ts";
import { testedProgram } from "../runner/tested-program.ts";

const PROGRAM = testedProgram("cli");
const POLICY = {
  ...DEFAULT_POOL_POLICY,
  version: 3,
  destinations: { mode: "enforce", allow: [], deny: ["*.bad.test", "9.9.9.0/24:443"] },
  special: ["10.1.0.0/16"],
  tenants: {
    shop: {
      destinations: { mode: "enforce", allow: ["api.test:443", "10.1.0.0/16"], deny: [] },
      limits: NO_LIMITS,
    },
    office: { destinations: { mode: "report", allow: ["api.test"], deny: [] }, limits: NO_LIMITS },
  },
  anyTenant: null,
};

interface Said {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

let folder: string;
let file: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "ipshard-policy-"));
  file = join(folder, "policy.json");
  await writeFile(file, JSON.stringify(POLICY));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

function judge(...args: readonly string[]): Promise<Said> {
  return new Promise((resolve) => {
    const child = execFile(process.execPath, [PROGRAM, "policy", "test", ...args], (_fault, stdout, stderr) =>
      resolve({ code: child.exitCode!, stdout, stderr }),
    );
  });
}

test("[DE17] each address is explained by what it is and by each list, and one refusal denies", async () => {
  const args = ["https://api.test/x", "--as", "shop", "--file", file];
  const allowed = await judge(...args, "--address", "8.8.8.8");
  expect([allowed.code, allowed.stderr]).toEqual([0, ""]);
  expect(allowed.stdout.trim().split("\n")).toEqual([
    "api.test port 443, for shop: allowed",
    "  8.8.8.8",
    "    the address is globally reachable",
    "    the pool's list of denials (enforce): not on it, passes",
    "    the tenant's list of what is allowed (enforce): on it as api.test:443, passes",
    "    → allowed",
  ]);
  const denied = await judge(
    ...args,
    "--address",
    "8.8.8.8",
    "--address",
    "9.9.9.9",
    "--address",
    "10.0.0.1",
  );
  expect(denied.code).toBe(1);
  expect(denied.stdout).toContain("for shop: denied");
  expect(denied.stdout).toContain(
    "→ denied: denied by 9.9.9.0/24:443 on the pool's list [destination-denied]",
  );
  expect(denied.stdout).toContain("[destination-prohibited]");
  const opened = await judge("10.1.2.3:5432", "--as", "shop", "--file", file);
  expect(opened.code).toBe(0);
  expect(opened.stdout).toContain("special, in a network that the pool opens");
});

test("[DE17] what is refused by its name is not looked up, and a mode that reports says so", async () => {
  const named = await judge("a.bad.test:443", "--as", "office", "--file", file);
  expect(named.code).toBe(1);
  expect(named.stdout).toContain("denied by *.bad.test on the pool's list, and is not looked up");
  const reported = await judge("udp://8.8.8.8:53", "--as", "office", "--file", file);
  expect(reported.code).toBe(0);
  expect(reported.stdout).toContain("would refuse, and only reports");
  const stranger = await judge("8.8.8.8:53", "--as", "stranger", "--file", file);
  expect([stranger.code, stranger.stdout]).toEqual([
    1,
    "The pool does not serve the tenant stranger: denied [tenant-denied]\n",
  ]);
});

test("[DE17] names are looked up, the token's destinations and the host's options count; machines get JSON", async () => {
  const names = await startNameServer({ "api.test": ["8.8.8.8", "2a00::1"] });
  const { code, stdout } = await judge(
    ..."https://api.test/ --as shop --json --deny 2a00::/16 --destination api.test --dns".split(" "),
    names.address,
    "--file",
    file,
  );
  names.close();
  expect(code).toBe(1);
  expect(JSON.parse(stdout)).toMatchObject({
    allowed: false,
    tenant: "shop",
    host: "api.test",
    port: 443,
    nameRefusal: null,
    addresses: [
      { address: "8.8.8.8", refusal: null, lists: [{}, {}, { owner: "token", entry: "api.test" }] },
      { address: "2a00::1", refusal: { code: "destination-prohibited" } },
    ],
  });
});

test("[DE17] the edge's policy is asked for with an administrator's token, which is not sent in the clear", async () => {
  const seen: unknown[] = [];
  const edge = createServer((request, response) => {
    seen.push([request.url, request.headers["egress-authorization"]]);
    if (request.url!.includes("eu")) response.end(JSON.stringify(POLICY));
    else
      response
        .writeHead(404, { "content-type": "application/problem+json" })
        .end('{"code":"pool-unknown","title":"No such pool."}');
  });
  edge.listen(0, "127.0.0.1");
  await once(edge, "listening");
  const { port } = edge.address() as AddressInfo;
  const tokenFile = join(folder, "admin.token");
  await writeFile(tokenFile, "abc\n");
  const by = (url: string, pool: string): Promise<Said> =>
    judge("8.8.8.8:53", "--as", "office", "--edge", url, "--pool", pool, "--token-file", tokenFile);
  expect((await by(`http://127.0.0.1:${port}`, "eu")).code).toBe(0);
  expect(seen).toEqual([["/v1/pools/eu/policy", "Bearer abc"]]);
  const refused = await by(`http://127.0.0.1:${port}`, "us");
  expect(refused.code).toBe(2);
  expect(refused.stderr).toMatch(/pool-unknown.*\[edge-refused\]/);
  const clear = await by("http://edge.example", "eu");
  expect([clear.code, clear.stderr]).toEqual([2, expect.stringContaining("[plain-http-refused]")]);
  edge.close();
  await once(edge, "close");
  expect((await by(`http://127.0.0.1:${port}`, "eu")).stderr).toContain("[edge-not-answering]");
});

test.each([
  [["ftp://a.test/", "--as", "a"], "is no destination"],
  [["a.test", "--as", "a"], "is no destination"],
  [["8.8.8.8:53", "--as", "a", "--allow", "10.0.0.0"], "is not a range"],
  [["a.test:53", "--as", "a", "--address", "8.8"], "is not an IP address"],
  [["8.8.8.8:53", "--as", "a", "--destination", "a b"], "is no destination"],
  [["8.8.8.8:53", "--as", "a", "--edge", "http://127.0.0.1:1"], "goes with --pool"],
  [["8.8.8.8:53"], "required option '--as <tenant>' not specified"],
  [["8.8.8.8:53", "--as", "a", "--adress", "8.8.8.8"], "Did you mean --address?"],
  [["8.8.8.8:53", "--as", "a", "--file", "nosuch.json"], "The policy nosuch.json cannot be read"],
  [
    ["8.8.8.8:53", "--as", "a", "--pool", "eu", "--token-file", "nosuch"],
    "The token file nosuch cannot be read",
  ],
  [["a.invalid:53", "--as", "a", "--dns", "127.0.0.1:1"], "does not resolve here"],
] as const)("[DE17] of %j it is said that it %s, with the exit code 2", async (args, why) => {
  const { code, stdout, stderr } = await judge(...args);
  expect([code, stdout]).toEqual([2, ""]);
  expect(stderr).toContain(why);
});

test("[DE17] places are read as URLs have them, by whatever they are asked for", () => {
  expect(readJudgedPlace("wss://Example.COM/x")).toEqual({
    host: "example.com",
    isLiteral: false,
    port: 443,
  });
  expect(readJudgedPlace("http://[2001:DB8::1]")).toEqual({ host: "2001:db8::1", isLiteral: true, port: 80 });
  expect(readJudgedPlace("0x7f.1:80")).toEqual({ host: "127.0.0.1", isLiteral: true, port: 80 });
  expect(readJudgedPlace("udp://a.test:53")).toEqual({ host: "a.test", isLiteral: false, port: 53 });
});

test("[DE17] what is no policy is said to be none, with the place in it", () => {
  expect(() => rulesIn("{", "p.json", "a")).toThrow(/p\.json is no policy/);
  const bad = JSON.stringify({ destinations: { deny: ["a b"] } });
  expect(() => rulesIn(bad, "p.json", "a")).toThrow(/destinations\.deny\.0: "a b" is no destination/);
  expect(rulesIn("{}", "p.json", "a").tenant).toEqual({ mode: "enforce", allow: [], deny: [] });
  expect(rulesIn('{"anyTenant":null,"tenants":{}}', "p.json", "toString").tenant).toBeNull();
});

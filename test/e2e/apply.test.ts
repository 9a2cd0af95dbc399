/** `ipshard apply FILE` as a process, against a real edge with hosts. */
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { personEnvironment } from "../runner/person-environment.ts";
import { Cluster, EGRESS_IP, POOL, until } from "./cluster.ts";
import { testedProgram } from "../runner/tested-program.ts";

const PROGRAM = testedProgram("cli");
const SECOND_IP = "127.0.0.11";

interface Said {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

let cluster: Cluster;
let file: string;

beforeAll(async () => {
  cluster = await Cluster.start({ hosts: ["h1", "h2"] });
  file = join(cluster.directory, "pools.yaml");
});
afterAll(() => cluster?.stop());

async function apply(text: string, ...args: readonly string[]): Promise<Said> {
  await writeFile(file, text);
  const env = { ...personEnvironment(), XDG_CONFIG_HOME: cluster.directory, NO_COLOR: "1" };
  const by = ["--edge", cluster.edgeUrl, "--state", cluster.directory];
  return new Promise((resolve) => {
    const child = execFile(
      process.execPath,
      [PROGRAM, "apply", file, ...by, ...args],
      { env },
      (_fault, stdout, stderr) => resolve({ code: child.exitCode!, stdout, stderr }),
    );
  });
}

const WANTED = `
pools:
  ${POOL}:
    settings: { quarantineMs: 60000 }
    ips:
      ${EGRESS_IP}: { country: DE, tags: [main] }
      ${SECOND_IP}:
    hosts:
      h1: { drained: true }
      h2:
      h9:
    policy:
      destinations: { deny: ["*:25"] }
      tenants:
        shop: { limits: { tunnels: 200 } }
  us:
    settings: { published: true, hostSilenceMs: 4000 }
`;

test("[AY1] [AY2] [AY3] [ME9] a file is carried out after it was shown, and once is enough", async () => {
  const before = await cluster.api.getPool({ pool: POOL });
  const shown = await apply(WANTED, "--dry-run");
  expect(shown.code).toBe(2);
  expect(shown.stdout.trim().split("\n")).toEqual([
    "~ default: pool: quarantineMs 120000 → 60000",
    `~ default: address ${EGRESS_IP}, country none → de, tags none → main`,
    `+ default: address ${SECOND_IP}`,
    expect.stringMatching(/^~ default: policy, destinations: .* → .*"deny":\["\*:25"\]/),
    expect.stringMatching(/^\+ default: tenant shop: .*"tunnels":200/),
    "~ default: host h1: drain",
    "+ us: pool: hostSilenceMs 4000, published true",
    expect.stringMatching(/^    warning: hostSilenceMs=4000: /),
    "! default: host h9 is not there yet: ipshard host add h9 --pool default",
  ]);
  expect(await cluster.api.getPool({ pool: POOL })).toMatchObject({ settings: before.settings, ips: [{}] });
  const unasked = await apply(WANTED);
  expect([unasked.code, unasked.stderr]).toEqual([1, expect.stringContaining("give --yes to do it")]);

  const done = await apply(WANTED, "--yes");
  expect([done.code, done.stderr]).toEqual([0, expect.stringMatching(/^(done: .*\n){7}$/)]);
  const pool = await cluster.api.getPool({ pool: POOL });
  expect(pool).toMatchObject({
    settings: { ...before.settings, quarantineMs: 60_000 },
    ips: [{ ip: EGRESS_IP, country: "de", tags: ["main"] }, { ip: SECOND_IP }],
  });
  expect(pool.hosts.find(({ host }) => host === "h1")!.drain).not.toBeNull();
  expect(await cluster.api.getPolicy({ pool: POOL })).toMatchObject({
    destinations: { deny: ["*:25"] },
    tenants: { shop: { limits: { tunnels: 200, ports: null } } },
  });

  const again = await apply(WANTED, "--dry-run");
  expect([again.code, again.stdout]).toEqual([
    0,
    expect.stringMatching(/^Nothing differs\.\n! default: host h9/),
  ]);
  const { version } = await cluster.api.getPolicy({ pool: POOL });
  const json = await apply(WANTED, "--json");
  expect(JSON.parse(json.stdout)).toMatchObject({ applied: false, changes: [] });
  expect((await cluster.api.getPolicy({ pool: POOL })).version).toBe(version);
  const resumed = await apply(WANTED.replace("drained: true", "drained: false"), "--yes");
  expect(resumed.stdout).toContain("~ default: host h1: resume");
  await cluster.untilServing(["h1", "h2"]);
});

test("[AY2] what would end flows is named and not done, unless it is told to", async () => {
  const closing = `
pools:
  ${POOL}:
    ips: { ${SECOND_IP}: }
    policy: { anyTenant: null, tenants: { tester: } }
`;
  const kept = await apply(closing, "--yes");
  expect([kept.code, kept.stdout]).toEqual([1, expect.stringContaining("    ends flows: hosts serve it")]);
  expect(kept.stderr).toMatch(/Nothing was changed.*address 127\.0\.0\.10.*\[flows-at-risk\]/);
  expect(kept.stderr).toContain("tenants that are not named are served no more");
  expect(kept.stdout).toContain("- default: tenant shop\n    ends flows: the pool serves it no more");
  const before = await cluster.api.getPool({ pool: POOL });
  expect(before.ips).toMatchObject([{ retiring: null }, { retiring: null }]);
  expect((await cluster.api.getPolicy({ pool: POOL })).anyTenant).not.toBeNull();

  const cut = await apply(closing, "--yes", "--cut-flows");
  expect(cut.code, cut.stderr).toBe(0);
  expect(await cluster.api.getPolicy({ pool: POOL })).toMatchObject({
    anyTenant: null,
    tenants: { tester: {} },
    destinations: { deny: [] },
  });
  await until("the address is retiring or gone", async () => {
    const { ips } = await cluster.api.getPool({ pool: POOL });
    return ips.every(({ ip, retiring }) => ip !== EGRESS_IP || retiring !== null);
  });
  expect((await apply(closing, "--dry-run")).stdout).toBe("Nothing differs.\n");
});

test("[AY1] a file with mistakes changes nothing, and each is named with its line and the remedy", async () => {
  const wrong = WANTED.replace("country: DE", "contry: DE").replace(
    "quarantineMs: 60000",
    "quarantineMs: 60s",
  );
  const { code, stdout, stderr } = await apply(wrong, "--yes");
  expect([code, stdout]).toEqual([1, ""]);
  expect(stderr).toContain("2 mistakes");
  expect(stderr).toContain(`${file}:4:`);
  expect(stderr).toMatch(
    /pools\.yaml:4:31: .*"60s" does not fit: a number is expected\. Times are in milliseconds/,
  );
  expect(stderr).toMatch(/pools\.yaml:6:\d+: .*There is no contry here\. Did you mean country\?/);
});

test("[AY2] on a terminal it is asked before anything is done", async () => {
  const text = `pools: { us: { settings: { historyDays: 30 } } }`;
  await writeFile(file, text);
  const by = ["--edge", cluster.edgeUrl, "--state", cluster.directory];
  const command = [process.execPath, PROGRAM, "apply", file, ...by].map((word) => `'${word}'`).join(" ");
  const asked = async (reply: string): Promise<string> => {
    const env = { ...personEnvironment(), XDG_CONFIG_HOME: cluster.directory, TERM: "xterm-256color" };
    // It makes a terminal, on which the command runs.
    const terminal = spawn("script", ["-qefc", command, "/dev/null"], {
      env,
      stdio: ["pipe", "pipe", "inherit"],
    });
    let said = "";
    terminal.stdout.on("data", (chunk: Buffer) => {
      said += chunk.toString();
      if (said.includes("[y/N] ") && terminal.stdin.writable) terminal.stdin.end(`${reply}\n`);
    });
    await once(terminal, "close");
    return said;
  };
  const days = async (): Promise<number> => (await cluster.api.getPool({ pool: "us" })).settings.historyDays;
  const refused = await asked("n");
  expect(refused).toContain("\u001b[33m~ us: pool: historyDays 90 → 30");
  expect(refused).toMatch(/Do this\? \[y\/N\] [^]*\[not-confirmed\]/);
  expect(await days()).toBe(90);
  expect(await asked("y")).toContain("done: us: pool: historyDays 90 → 30");
  expect(await days()).toBe(30);
});

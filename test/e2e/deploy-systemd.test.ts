/** The units of `deploy/systemd`, judged by systemd's own tools; nothing of it is started. */
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { withSnat } from "./commented-options.ts";
import { testedProgram } from "../runner/tested-program.ts";

const ROOT = join(import.meta.dirname, "../..");
const UNITS = join(ROOT, "deploy/systemd");
const PROGRAMS = ["edge", "agent", "router"] as const;
/** Of 10, which is a service without any of this. */
const MOST_EXPOSED = 2;
const run = promisify(execFile);

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "ipshard-units-"));
  for (const program of PROGRAMS) {
    const text = await readFile(join(UNITS, `ipshard-${program}.service`), "utf8");
    // Where a package would be installed there is nothing here, which would be found fault with.
    const command = join(ROOT, "bin/ipshard.js");
    await writeFile(unitOf(program), text.replace("/usr/local/bin/ipshard ", `${command} `));
  }
});
afterAll(() => rm(directory, { recursive: true, force: true }));

function unitOf(program: string): string {
  return join(directory, `ipshard-${program}.service`);
}

test("[DP4] systemd finds no fault with the units", async () => {
  const { stdout, stderr } = await run("systemd-analyze", ["verify", "--man=no", ...PROGRAMS.map(unitOf)]);
  const ours = (stdout + stderr).split("\n").filter((line) => line.includes("ipshard"));
  expect(ours).toEqual([]);
});

test("[DP4] a setting that systemd does not know would be found", async () => {
  const slip = join(directory, "ipshard-slip.service");
  await writeFile(slip, (await readFile(unitOf("edge"), "utf8")).replace("ProtectHome=", "ProtectHomes="));
  const { stderr } = await run("systemd-analyze", ["verify", "--man=no", slip]);
  expect(stderr).toMatch(/Unknown key.* 'ProtectHomes'/);
});

test.each(PROGRAMS)(`[DP4] %s is exposed no more than ${MOST_EXPOSED.toFixed(1)}`, async (program) => {
  const threshold = ["--offline=true", `--threshold=${MOST_EXPOSED * 10}`, "--no-pager"];
  const { stdout } = await run("systemd-analyze", ["security", ...threshold, unitOf(program)]);
  expect(stdout).toMatch(/Overall exposure level for \S+: [0-2]\.\d/);
});

test.each(PROGRAMS)("[DP4] %s accepts its command line and the file beside it", async (program) => {
  const withSnatFile = join(directory, "snat.yaml");
  await writeFile(withSnatFile, withSnat(await readFile(join(UNITS, "ipshard.yaml"), "utf8")));
  for (const options of [join(UNITS, "ipshard.yaml"), withSnatFile]) {
    expect(await saidOf(program, options)).toBe("All that is configured can be used.\n");
  }
});

/** What a program says of its command line with these options. */
async function saidOf(program: (typeof PROGRAMS)[number], options: string): Promise<string> {
  const text = await readFile(unitOf(program), "utf8");
  const [, command] = /^ExecStart=(.*)$/m.exec(text)!;
  const words = command!
    .replace("/etc/ipshard/ipshard.yaml", options)
    .replace("${STATE_DIRECTORY}", join(directory, "state"))
    .replace("${CREDENTIALS_DIRECTORY}", join(directory, "credentials"))
    .split(" ");
  const main = testedProgram("cli");
  const { stdout } = await run(process.execPath, [
    main,
    ...words.slice(1),
    "--check-config",
    "--files-elsewhere",
  ]);
  return stdout;
}

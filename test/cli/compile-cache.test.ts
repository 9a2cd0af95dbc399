/** Where Node may keep code that it will run. */
import { chmod, mkdir, rm, stat, symlink } from "node:fs/promises";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { agentEnvironment } from "../../src/cli/supervision/agent-command.ts";
import { compileCache } from "../../src/cli/supervision/compile-cache.ts";
import { temporaryDirectory } from "./processes.ts";

test("[CI13] compiled code is kept below the user's own home, where nobody else can write", async () => {
  const home = await temporaryDirectory();
  const directory = compileCache(home)!;
  expect(directory.startsWith(join(home, ".cache"))).toBe(true);
  expect((await stat(directory)).mode & 0o777).toBe(0o700);
  expect(compileCache(home)).toBe(directory);
});

test("[CI13] a directory that others can write, or have put there, is not used", async () => {
  for (const at of ["", ".cache", ".cache/ipshard", ".cache/ipshard/compiled"]) {
    const home = await temporaryDirectory();
    const directory = compileCache(home)!;
    const weak = join(home, at);
    for (const mode of [0o770, 0o707]) {
      await chmod(weak, mode);
      expect(compileCache(home)).toBeNull();
    }
    await chmod(weak, 0o755);
    expect(compileCache(home)).toBe(directory);
    if (at === "") continue;
    const elsewhere = await temporaryDirectory();
    await mkdir(join(elsewhere, "ipshard", "compiled"), { recursive: true });
    await rm(weak, { recursive: true });
    await symlink(elsewhere, weak);
    expect(compileCache(home)).toBeNull();
  }
});

test("[CI13] without a home there is no such directory, and the environment names none", () => {
  expect(compileCache(null)).toBeNull();
  expect(compileCache("/dev/null/nowhere")).toBeNull();
  const named = process.env["HOME"];
  process.env["HOME"] = tmpdir();
  try {
    const { NODE_COMPILE_CACHE: kept } = agentEnvironment();
    expect(kept === undefined || kept.startsWith(userInfo().homedir)).toBe(true);
  } finally {
    process.env["HOME"] = named;
  }
});

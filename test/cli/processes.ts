/** Temporary directories and waiting, for tests on real processes. */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { afterEach } from "vitest";
import type { ChildSpec } from "../../src/cli/supervision/child.ts";
import { refuseIfTaken } from "../../src/cli/supervision/addresses.ts";

const directories: string[] = [];

/** A directory that is removed after the test. */
export async function temporaryDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "ipshard-cli-"));
  directories.push(directory);
  return directory;
}

afterEach(async () => {
  for (const directory of directories.splice(0)) await rm(directory, { recursive: true, force: true });
});

/** Asks until it is true; fails after three quarters of a minute, which a busy machine may need. */
export async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  const deadlineMs = performance.now() + 45_000;
  while (!(await holds())) {
    if (performance.now() > deadlineMs) throw new Error(`waited in vain until ${what}`);
    await delay(10);
  }
}

/** A child that runs signal-target.ts; its log and mark are in the directory. */
export function targetSpec(directory: string, name: string, behaviour: string, graceMs = 5_000): ChildSpec {
  return {
    name,
    command: process.execPath,
    args: [join(import.meta.dirname, "signal-target.ts"), behaviour, directory],
    mark: directory,
    logFile: join(directory, `${name}.log`),
    graceMs,
  };
}

/** Waits until a target has installed its handlers. */
export async function untilStarted(spec: ChildSpec, pid: number): Promise<void> {
  await until(`${spec.name} has started`, async () =>
    (await readFile(spec.logFile, "utf8")).includes(`started ${pid}\n`),
  );
}

/** The first of six ports in a row that nobody listens on. */
export async function freePorts(): Promise<number> {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 10_000);
    const places = [0, 1, 2, 3, 4, 5].flatMap((offset) =>
      ["127.0.0.1", "127.0.0.20"].map((host) => ({ host, port: port + offset, purpose: "" })),
    );
    if (
      await refuseIfTaken(places, "").then(
        () => true,
        () => false,
      )
    )
      return port;
  }
}

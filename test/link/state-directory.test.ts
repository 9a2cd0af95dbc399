/** What a host remembers, and that only one process at a time has it: with real processes. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { DirectoryLock } from "../../src/link/directory-lock.ts";
import { StateDirectory } from "../../src/link/state-directory.ts";
import { generateKey, publicPart } from "../../src/wire/keys.ts";

const HOLDER = join(import.meta.dirname, "state-holder.ts");

let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "ipshard-state-"));
});

afterEach(async () => {
  await rm(directory, { recursive: true, force: true });
});

function onFault(fault: unknown): void {
  throw fault;
}

/** Starts a process that wants the directory, and waits for what it says of that. */
async function hold(path: string, epoch = 0): Promise<{ child: ChildProcess; said: string }> {
  const child = spawn(process.execPath, [HOLDER, path, String(epoch)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  onTestFinished(() => {
    child.kill("SIGKILL");
  });
  const [said] = (await once(createInterface(child.stdout), "line")) as [string];
  return { child, said };
}

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  const exited = once(child, "exit");
  child.kill(signal);
  await exited;
}

describe("the lock", () => {
  test("[SD2] a second process is refused while the first lives, even paused", async () => {
    const first = await hold(directory);
    expect(first.said).toMatch(/^holding /);
    expect((await hold(directory)).said).toBe("refused state-in-use");
    first.child.kill("SIGSTOP");
    expect((await hold(directory)).said).toBe("refused state-in-use");
    first.child.kill("SIGCONT");
    await end(first.child, "SIGTERM");
    expect((await hold(directory)).said).toMatch(/^holding /);
  });

  test("[SD2] a directory whose process was killed is taken over, with its instance", async () => {
    const first = await hold(directory, 7);
    await end(first.child, "SIGKILL");
    const second = await hold(directory, 8);
    expect(second.said).toBe(first.said);
    expect((await hold(directory)).said).toBe("refused state-in-use");
  });

  test("[SD2] of many that find a dead one's lock together, exactly one takes it", async () => {
    const dead = await hold(directory);
    await end(dead.child, "SIGKILL");
    const holders = await Promise.all(Array.from({ length: 6 }, async () => hold(directory)));
    expect(holders.filter(({ said }) => said.startsWith("holding")).length).toBe(1);
  });

  test("[SD2] a directory too deep for a socket's path is locked all the same", async () => {
    const deep = join(directory, "d".repeat(100), "e".repeat(100));
    await mkdir(deep, { recursive: true });
    const first = await hold(deep);
    expect(first.said).toMatch(/^holding /);
    expect((await hold(deep)).said).toBe("refused state-in-use");
    await end(first.child, "SIGKILL");
    expect((await hold(deep)).said).toMatch(/^holding /);
  });

  test("[SD2] another name of the same directory is the same directory", async () => {
    const alias = `${directory}-alias`;
    await symlink(directory, alias);
    onTestFinished(() => rm(alias));
    await hold(directory);
    expect((await hold(alias)).said).toBe("refused state-in-use");
  });

  test("[SD2] a released lock can be taken again by the same process", async () => {
    const first = await DirectoryLock.acquire(directory);
    expect(await DirectoryLock.acquire(directory)).toBe(null);
    await first!.release();
    const second = await DirectoryLock.acquire(directory);
    expect(second).not.toBe(null);
    await second!.release();
  });
});

describe("the contents", () => {
  test("[SD1] the instance key is made once, secret, and stays", async () => {
    const first = await StateDirectory.open(join(directory, "new"), onFault);
    const { instance } = first;
    await first.close();
    const second = await StateDirectory.open(join(directory, "new"), onFault);
    await second.close();
    expect(second.instance).toBe(instance);
    expect(instance.length).toBeGreaterThanOrEqual(32);
    expect((await stat(join(directory, "new", "instance"))).mode & 0o777).toBe(0o600);
    const other = await StateDirectory.open(join(directory, "other"), onFault);
    await other.close();
    expect(other.instance).not.toBe(instance);
  });

  test("[LK4] the highest epoch of an address is remembered, and never sinks", async () => {
    const first = await StateDirectory.open(directory, onFault);
    for (let epoch = 1; epoch <= 50; epoch += 1) first.noteEpoch("127.0.0.10", epoch);
    first.noteEpoch("127.0.0.10", 3);
    first.noteEpoch("127.0.0.11", 4);
    await first.close();
    const second = await StateDirectory.open(directory, onFault);
    await second.close();
    expect(second.highestEpoch("127.0.0.10")).toBe(50);
    expect(second.highestEpoch("127.0.0.11")).toBe(4);
    expect(second.highestEpoch("127.0.0.12")).toBe(0);
  });

  test("[EL4] the edge's keys are remembered, and forgotten when damaged", async () => {
    const keys = { keys: [publicPart(await generateKey("edge"))] };
    const first = await StateDirectory.open(directory, onFault);
    expect(first.keptKeys).toBe(null);
    first.keepKeys(keys);
    await first.close();
    const second = await StateDirectory.open(directory, onFault);
    await second.close();
    expect(second.keptKeys).toEqual(keys);
    await writeFile(join(directory, "edge-keys.json"), "{");
    const third = await StateDirectory.open(directory, onFault);
    await third.close();
    expect(third.keptKeys).toBe(null);
  });

  test.each([
    ["instance", "short"],
    ["epochs.json", '{"127.0.0.10":-1}'],
    ["epochs.json", '{"127.0'],
  ])("[SD1] a damaged %s is refused by name, and the lock let go", async (file, contents) => {
    await writeFile(join(directory, file), contents);
    await expect(StateDirectory.open(directory, onFault)).rejects.toMatchObject({ code: "state-unusable" });
    expect(await readFile(join(directory, file), "utf8")).toBe(contents);
    await rm(join(directory, file));
    await (await StateDirectory.open(directory, onFault)).close();
  });

  test("[SD1] a directory that cannot be made is refused by name", async () => {
    await writeFile(join(directory, "file"), "");
    await expect(StateDirectory.open(join(directory, "file", "state"), onFault)).rejects.toMatchObject({
      code: "state-unusable",
    });
  });
});

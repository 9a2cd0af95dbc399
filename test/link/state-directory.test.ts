/** What a host remembers, and that only one process at a time has it: with real processes. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import {
  cp,
  link,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  symlink,
  writeFile,
} from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from "vitest";
import { isOther, type MachineIdentity, machineIdentity } from "../../src/link/machine-identity.ts";
import { DirectoryLock } from "../../src/process/directory-lock.ts";
import { StateDirectory, type WhenCopied } from "../../src/link/state-directory.ts";
import { generateKey, publicPart } from "../../src/wire/keys.ts";

const HOLDER = join(import.meta.dirname, "state-holder.ts");
const [IP, OTHER_IP] = ["192.0.2.1", "192.0.2.2"];

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

  test("[SD2] over and over, of many that come together exactly one takes it", async () => {
    // What an agent left that was killed.
    const leftover = join(directory, "leftover");
    const dead = createServer().listen(leftover);
    await once(dead, "listening");
    await rename(leftover, join(directory, "kept"));
    dead.close();
    await once(dead, "close");
    for (let round = 0; round < 100; round += 1) {
      await link(join(directory, "kept"), join(directory, "agent.lock"));
      const locks = await Promise.all(Array.from({ length: 8 }, () => DirectoryLock.acquire(directory)));
      const taken = locks.filter((lock) => lock !== null);
      expect(taken.length).toBe(1);
      await taken[0]!.release();
    }
    expect(await readdir(directory)).toEqual(["kept"]);
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

  test("[SD1] [PF5] how addresses are seen is kept; a damaged file is refused by name", async () => {
    const first = await StateDirectory.open(directory, onFault);
    expect(first.keptAdvertised).toEqual({});
    first.keepAdvertised({ [IP]: "203.0.113.9" });
    await first.close();
    const second = await StateDirectory.open(directory, onFault);
    expect(second.keptAdvertised).toEqual({ [IP]: "203.0.113.9" });
    await second.close();
    await writeFile(join(directory, "advertised.json"), '{"192.0.2.1":"nowhere"}');
    await expect(StateDirectory.open(directory, onFault)).rejects.toMatchObject({ code: "state-unusable" });
  });

  test("[LV8] what was counted is kept; what is damaged is forgotten, with a word of it", async () => {
    const slot = { atMs: 60_000, requestCount: 1, flowCount: 0, refusals: { draining: 2 }, portCount: 3 };
    const past = { minutes: [slot], quarters: [{ ...slot, atMs: 0 }] };
    const first = await StateDirectory.open(directory, onFault);
    expect(first.keptPast).toBeNull();
    first.keepPast(past);
    await first.close();
    const second = await StateDirectory.open(directory, onFault);
    await second.close();
    expect(second.keptPast).toEqual(past);
    for (const damaged of [
      "",
      "{",
      "[]",
      JSON.stringify({ ...past, minutes: Array.from({ length: 61 }, () => slot) }),
    ]) {
      await writeFile(join(directory, "past-counts.json"), damaged);
      const faults: string[] = [];
      const third = await StateDirectory.open(directory, (sentence) => faults.push(sentence));
      await third.close();
      expect(third.keptPast).toBeNull();
      expect(faults).toEqual([expect.stringContaining("past-counts.json is damaged")]);
    }
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

  test("[AG7] what cannot be written is said once, kept, and written when it can be", async () => {
    const said: string[] = [];
    const kept = await StateDirectory.open(directory, (sentence) => said.push(sentence));
    // Stands in the way of the file that is written beside.
    await mkdir(join(directory, "epochs.json.new"));
    kept.noteEpoch(IP, 7);
    await vi.waitUntil(() => said.length > 0);
    kept.noteEpoch(IP, 8);
    kept.noteEpoch(OTHER_IP, 3);
    await rm(join(directory, "epochs.json.new"), { recursive: true });
    await kept.close();
    expect(said).toEqual([expect.stringMatching(/^the state directory .* cannot be written: .*EISDIR/)]);
    const next = await StateDirectory.open(directory, onFault);
    await next.close();
    expect([next.highestEpoch(IP), next.highestEpoch(OTHER_IP)]).toEqual([8, 3]);
  });

  test("[AG7] a full disk is tried again while the process runs", { timeout: 20_000 }, async () => {
    const said: string[] = [];
    const kept = await StateDirectory.open(directory, (sentence) => said.push(sentence));
    await symlink("/dev/full", join(directory, "epochs.json.new"));
    kept.noteEpoch(IP, 7);
    await vi.waitUntil(() => said.length > 0);
    expect(said[0]).toContain("the disk is full: make room");
    await rm(join(directory, "epochs.json.new"));
    await vi.waitUntil(() => existsSync(join(directory, "epochs.json")), { timeout: 15_000, interval: 100 });
    await kept.close();
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
    // In the second nobody can make one, and the system says that it is missing.
    for (const impossible of [join(directory, "file", "state"), "/proc/1/state", "/proc/1/state/of/host"]) {
      await expect(StateDirectory.open(impossible, onFault)).rejects.toMatchObject({
        code: "state-unusable",
      });
    }
  });

  test("[SD1] those above it that are missing are made as well", async () => {
    const deep = join(directory, "of", "many", "hosts");
    await (await StateDirectory.open(deep, onFault)).close();
    expect(existsSync(deep)).toBe(true);
  });
});

describe("the machine", () => {
  const HERE = { "machine-id": "here", "product-uuid": "board" };
  const CLONE = { "machine-id": "clone", "product-uuid": "board" };

  /** Opens the directory as on a machine with these ids, and lets it go. */
  async function on(ids: Record<string, string>, whenCopied: WhenCopied = "refuse", path = directory) {
    const identify = async (): Promise<MachineIdentity> => new Map(Object.entries(ids));
    const state = await StateDirectory.open(path, onFault, { whenCopied, identify });
    await state.close();
    return state;
  }

  test("[SD3] a directory that was copied to another machine is refused by name, and kept as it is", async () => {
    const { instance } = await on(HERE);
    const copy = `${directory}-copy`;
    onTestFinished(() => rm(copy, { recursive: true }));
    await cp(directory, copy, { recursive: true });
    const files = await readdir(copy);
    for (let time = 0; time < 2; time += 1) {
      await expect(on(CLONE, "refuse", copy)).rejects.toMatchObject({
        code: "state-copied",
        message: expect.stringContaining("--copied-state renew"),
      });
    }
    expect(await readdir(copy)).toEqual(files);
    expect(await readFile(join(copy, "instance"), "utf8")).toBe(instance);
    expect((await on(HERE)).instance).toBe(instance);
  });

  test("[SD3] one that is renewed begins with another instance key and nothing else, for good", async () => {
    const first = await StateDirectory.open(directory, onFault, {
      identify: async () => new Map([["a", "x"]]),
    });
    first.noteEpoch("192.0.2.1", 7);
    first.keepKeys({ keys: [publicPart(await generateKey("edge"))] });
    await first.close();
    const renewed = await on({ a: "y" }, "renew");
    expect(renewed.instance).not.toBe(first.instance);
    expect(renewed.highestEpoch("192.0.2.1")).toBe(0);
    expect(renewed.keptKeys).toBe(null);
    expect((await on({ a: "y" })).instance).toBe(renewed.instance);
    expect((await on({ a: "y" }, "renew")).instance).toBe(renewed.instance);
    await expect(on({ a: "x" })).rejects.toMatchObject({ code: "state-copied" });
  });

  test("[SD3] one that is trusted stays as it is, and is this machine's from then on", async () => {
    const { instance } = await on(HERE);
    expect(await on(CLONE, "trust")).toMatchObject({ instance, isBound: false });
    expect(await on(CLONE)).toMatchObject({ instance, isBound: true });
    await expect(on(HERE)).rejects.toMatchObject({ code: "state-copied" });
  });

  test("[SD3] an id that is not always readable is compared when it is, and never missed", async () => {
    const { instance } = await on({ "machine-id": "here" });
    expect((await on(HERE)).instance).toBe(instance);
    expect((await on({ "machine-id": "here" })).instance).toBe(instance);
    expect((await on({})).isBound).toBe(false);
    // Cloned with its machine-id, the board alone tells the two apart.
    await expect(on({ ...HERE, "product-uuid": "other" })).rejects.toMatchObject({ code: "state-copied" });
    await expect(on({ "product-uuid": "other" })).rejects.toMatchObject({ code: "state-copied" });
    expect((await on(HERE)).instance).toBe(instance);
  });

  test("[SD3] a directory from before ids were kept is this machine's", async () => {
    await writeFile(join(directory, "instance"), "instance-of-an-earlier-release");
    expect((await on(HERE)).instance).toBe("instance-of-an-earlier-release");
    await expect(on(CLONE)).rejects.toMatchObject({ code: "state-copied" });
  });

  test("[SD3] ids are read where they are, believed in their form only, and kept as digests", async () => {
    const id = "0123456789abcdef0123456789abcdef";
    const form = /^[0-9a-f]{32}$/;
    const file = (name: string): string => join(directory, name);
    await writeFile(file("good"), `${id.toUpperCase()}\n`);
    await writeFile(file("odd"), "uninitialized\n");
    const sources = ["good", "odd", "absent"].map((name) => ({ name, file: file(name), form }));
    const identity = await machineIdentity(sources);
    expect([...identity.keys()]).toEqual(["good"]);
    expect(identity.get("good")).not.toContain(id);
    expect(isOther(identity, await machineIdentity(sources))).toBe(false);
    await writeFile(file("good"), `${id.replace("0", "1")}\n`);
    expect(isOther(identity, await machineIdentity(sources))).toBe(true);
  });
});

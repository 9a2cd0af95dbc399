/**
 * What a host remembers over restarts: who it is, which epochs it has seen, which keys it
 * trusts. One agent at a time has the directory. [SD1]
 *
 * Every file is replaced as a whole: written beside, flushed to disk, renamed.
 */
import { randomBytes } from "node:crypto";
import { mkdir, open, readFile, realpath, rename } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import type { KeySet } from "../wire/keys.ts";
import { CommandFault } from "./command-fault.ts";
import { DirectoryLock } from "./directory-lock.ts";
import { parseKeySet } from "./edge-keys.ts";

const INSTANCE_FILE = "instance";
const EPOCHS_FILE = "epochs.json";
const KEYS_FILE = "edge-keys.json";
const INSTANCE_BYTES = 24;

const instanceSchema = z.string().regex(/^[\w-]{16,128}$/);
const epochsSchema = z.record(z.string(), z.int().min(0));

/** The directory of one host. */
export class StateDirectory {
  /** Tells a restart of this host from a twin with its name. */
  readonly instance: string;
  /** As of the last run; null if none were kept. */
  readonly keptKeys: KeySet | null;
  readonly #path: string;
  readonly #lock: DirectoryLock;
  readonly #epochs: Map<string, number>;
  readonly #onFault: (fault: unknown) => void;
  /** What is yet to be written, by file; the latest only. */
  readonly #unwritten = new Map<string, () => string>();
  #writing: Promise<void> | null = null;

  private constructor(
    path: string,
    lock: DirectoryLock,
    contents: { instance: string; epochs: Map<string, number>; keptKeys: KeySet | null },
    onFault: (fault: unknown) => void,
  ) {
    this.#path = path;
    this.#lock = lock;
    this.instance = contents.instance;
    this.keptKeys = contents.keptKeys;
    this.#epochs = contents.epochs;
    this.#onFault = onFault;
  }

  /** Takes the directory, made if need be; throws `state-in-use` or `state-unusable`. `onFault` is told of later writes that fail. */
  static async open(directory: string, onFault: (fault: unknown) => void): Promise<StateDirectory> {
    const path = await makeDirectory(directory);
    const lock = await lockDirectory(path);
    try {
      const instance = (await readInstance(path)) ?? (await makeInstance(path));
      const epochs = await readEpochs(path);
      const keptKeys = await readKeys(path);
      return new StateDirectory(path, lock, { instance, epochs, keptKeys }, onFault);
    } catch (fault) {
      await lock.release();
      if (fault instanceof CommandFault) throw fault;
      throw new CommandFault(
        "state-unusable",
        `The state directory ${path} cannot be used: ${String(fault)}`,
        fault,
      );
    }
  }

  /** The highest epoch ever seen on an address; 0 for none. [LK4] */
  highestEpoch(ip: string): number {
    return this.#epochs.get(ip) ?? 0;
  }

  /** Remembers an epoch; it is on disk a moment later. */
  noteEpoch(ip: string, epoch: number): void {
    if (epoch <= this.highestEpoch(ip)) return;
    this.#epochs.set(ip, epoch);
    this.#write(EPOCHS_FILE, () => JSON.stringify(Object.fromEntries(this.#epochs)));
  }

  /** Remembers the edge's keys for the next start. */
  keepKeys(keys: KeySet): void {
    this.#write(KEYS_FILE, () => JSON.stringify(keys));
  }

  /** Waits for what is being written, and lets the directory go. */
  async close(): Promise<void> {
    await this.#writing;
    await this.#lock.release();
  }

  #write(file: string, contents: () => string): void {
    this.#unwritten.set(file, contents);
    this.#writing ??= this.#writeAll();
  }

  async #writeAll(): Promise<void> {
    for (const [file, contents] of this.#unwritten) {
      this.#unwritten.delete(file);
      try {
        await replaceFile(join(this.#path, file), contents());
      } catch (fault) {
        this.#onFault(fault);
      }
    }
    // In the same turn as the last look, so that nothing falls between two writers.
    this.#writing = null;
  }
}

async function makeDirectory(directory: string): Promise<string> {
  try {
    await mkdir(directory, { recursive: true, mode: 0o700 });
    return await realpath(directory);
  } catch (fault) {
    throw new CommandFault(
      "state-unusable",
      `The state directory ${directory} cannot be made: ${String(fault)}`,
      fault,
    );
  }
}

async function lockDirectory(path: string): Promise<DirectoryLock> {
  let lock: DirectoryLock | null;
  try {
    lock = await DirectoryLock.acquire(path);
  } catch (fault) {
    throw new CommandFault(
      "state-unusable",
      `The state directory ${path} cannot be locked: ${String(fault)}`,
      fault,
    );
  }
  if (lock !== null) return lock;
  throw new CommandFault(
    "state-in-use",
    `Another agent, perhaps a paused one, has the state directory ${path}. End it, or give this one a directory of its own.`,
  );
}

async function readInstance(path: string): Promise<string | null> {
  const text = await readOptional(join(path, INSTANCE_FILE));
  if (text === null) return null;
  const instance = instanceSchema.safeParse(text.trim());
  if (instance.success) return instance.data;
  throw damaged(path, INSTANCE_FILE);
}

async function makeInstance(path: string): Promise<string> {
  const instance = randomBytes(INSTANCE_BYTES).toString("base64url");
  await replaceFile(join(path, INSTANCE_FILE), instance);
  return instance;
}

async function readEpochs(path: string): Promise<Map<string, number>> {
  const text = await readOptional(join(path, EPOCHS_FILE));
  if (text === null) return new Map();
  const epochs = epochsSchema.safeParse(readJson(text));
  if (!epochs.success) throw damaged(path, EPOCHS_FILE);
  return new Map(Object.entries(epochs.data));
}

async function readKeys(path: string): Promise<KeySet | null> {
  const text = await readOptional(join(path, KEYS_FILE));
  // Without keys nobody is let in until the edge has given them again.
  return text === null ? null : parseKeySet(readJson(text));
}

function damaged(path: string, file: string): CommandFault {
  return new CommandFault(
    "state-unusable",
    `${join(path, file)} is damaged. If no other agent has used this directory, remove the file and start again.`,
  );
}

function readJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

async function readOptional(file: string): Promise<string | null> {
  try {
    return await readFile(file, "utf8");
  } catch (fault) {
    if ((fault as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw fault;
  }
}

async function replaceFile(file: string, contents: string): Promise<void> {
  const beside = `${file}.new`;
  const handle = await open(beside, "w", 0o600);
  try {
    await handle.writeFile(contents);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(beside, file);
}

/**
 * What a host remembers over restarts: who it is, which epochs it has seen, which keys it
 * trusts, which static slots are its own. One agent at a time has the directory. [SD1]
 *
 * Its identity is that of one machine. A directory that came here with a copied disk is refused:
 * its duplicate instance may be sending from the very ports that this one would take up. [LAW1] [SD3]
 *
 * Every file is replaced as a whole: written beside, flushed to disk, renamed.
 */
import { randomBytes } from "node:crypto";
import { realpath, rm } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import type { PastCounts } from "../core/live-view.ts";
import type { KeySet } from "../wire/keys.ts";
import { parsePastCounts } from "../wire/live-view-schema.ts";
import { CommandFault } from "../process/command-fault.ts";
import { diskFault } from "../process/disk-faults.ts";
import { makeDirectory } from "../process/directories.ts";
import { DirectoryLock } from "../process/directory-lock.ts";
import { parseKeySet } from "./published-keys.ts";
import { DamagedSlots, KeptSlots } from "./kept-slots.ts";
import { type KeptPolicy, readPolicy, writtenPolicy } from "./kept-policy.ts";
import { readOptional, replaceFile } from "./replace-file.ts";
import { isOther, type MachineIdentity, machineIdentity } from "./machine-identity.ts";

const INSTANCE_FILE = "instance";
const EPOCHS_FILE = "epochs.json";
const KEYS_FILE = "edge-keys.json";
const MACHINE_FILE = "machine.json";
const POLICY_FILE = "pool-policy.json";
const SLOTS_FILE = "static-slots.json";
const ADVERTISED_FILE = "advertised.json";
const PAST_FILE = "past-counts.json";
const INSTANCE_BYTES = 24;
const RETRY_MS = 5_000;
const NO_MACHINE: MachineIdentity = new Map();

const instanceSchema = z.string().regex(/^[\w-]{16,128}$/);
const machineSchema = z.record(z.string(), z.string());
const epochsSchema = z.record(z.string(), z.int().min(0));
const address = z.union([z.ipv4(), z.ipv6()]);
const advertisedSchema = z.record(address, address);

/**
 * What to do with a directory that another machine began: refuse it, begin anew in it with another
 * instance key, or take it for this machine's own without looking.
 */
export type WhenCopied = "refuse" | "renew" | "trust";

/** How a state directory is opened; by default a copied one is refused. */
export interface StateOptions {
  readonly whenCopied?: WhenCopied;
  /** What identifies this machine. */
  readonly identify?: () => Promise<MachineIdentity>;
}

/** To be said where a copy of the state directory would not be noticed. */
export const UNBOUND_STATE =
  "a copy of the state directory on another machine would not be noticed: this machine's id is not known, or not looked at";

/** The directory of one host. */
export class StateDirectory {
  /** Tells a restart of this host from a duplicate instance with its name. */
  readonly instance: string;
  /** As of the last run; null if none were kept. */
  readonly keptKeys: KeySet | null;
  /** As of the last run; null if none was kept, or what was kept cannot be trusted. [PY6] */
  readonly keptPolicy: KeptPolicy | null;
  /** What the Internet sees instead of addresses of this host, as of the last run. [PF5] */
  readonly keptAdvertised: Readonly<Record<string, string>>;
  /** What was counted in the last hour and day, as of the last run; null if nothing was kept. [LV8] */
  readonly keptPast: PastCounts | null;
  /** Whether a copy of the directory would be noticed; false on a machine that has no id. [SD3] */
  readonly isBound: boolean;
  /** The static slots of this host. */
  readonly slots: KeptSlots;
  readonly #path: string;
  readonly #lock: DirectoryLock;
  readonly #epochs: Map<string, number>;
  readonly #onFault: (sentence: string) => void;
  /** What is yet to be written, by file; the latest only. */
  readonly #unwritten = new Map<string, () => string>();
  #writing: Promise<void> | null = null;
  #retry: NodeJS.Timeout | null = null;

  private constructor(
    path: string,
    lock: DirectoryLock,
    contents: {
      instance: string;
      epochs: Map<string, number>;
      keptKeys: KeySet | null;
      keptPolicy: KeptPolicy | null;
      keptAdvertised: Readonly<Record<string, string>>;
      keptPast: PastCounts | null;
      isBound: boolean;
      slots: KeptSlots;
    },
    onFault: (sentence: string) => void,
  ) {
    this.#path = path;
    this.#lock = lock;
    this.instance = contents.instance;
    this.keptKeys = contents.keptKeys;
    this.keptPolicy = contents.keptPolicy;
    this.keptAdvertised = contents.keptAdvertised;
    this.keptPast = contents.keptPast;
    this.isBound = contents.isBound;
    this.slots = contents.slots;
    this.#epochs = contents.epochs;
    this.#onFault = onFault;
  }

  /**
   * Takes the directory, made if need be; throws `state-in-use`, `state-copied` or `state-unusable`.
   * `onFault` is told, in a sentence, of later writes that fail; they are tried again. [AG7]
   */
  static async open(
    directory: string,
    onFault: (sentence: string) => void,
    { whenCopied = "refuse", identify = machineIdentity }: StateOptions = {},
  ): Promise<StateDirectory> {
    const path = await prepareDirectory(directory);
    const lock = await lockDirectory(path);
    try {
      const isBound = await bindToMachine(path, await identify(), whenCopied);
      const instance = (await readInstance(path)) ?? (await makeInstance(path));
      const epochs = await readEpochs(path);
      const keptKeys = await readKeys(path);
      const keptPolicy = await readKeptPolicy(path, onFault);
      const keptAdvertised = await readAdvertised(path);
      const slots = await readSlots(path, instance);
      const keptPast = await readPast(path, onFault);
      const kept = { keptKeys, keptPolicy, keptAdvertised, keptPast };
      const contents = { instance, epochs, ...kept, isBound, slots };
      return new StateDirectory(path, lock, contents, onFault);
    } catch (fault) {
      await lock.release();
      if (fault instanceof CommandFault) throw fault;
      throw new CommandFault(
        "state-unusable",
        `The state directory ${path} cannot be used: ${diskFault(fault) ?? String(fault)}`,
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

  /** Remembers the pool's policy for the next start. */
  keepPolicy(kept: KeptPolicy): void {
    this.#write(POLICY_FILE, () => writtenPolicy(kept));
  }

  /** Remembers how this host's addresses are seen, for the next start. */
  keepAdvertised(advertised: Readonly<Record<string, string>>): void {
    this.#write(ADVERTISED_FILE, () => JSON.stringify(advertised));
  }

  /** Remembers what was counted, for the next start. */
  keepPast(past: PastCounts): void {
    this.#write(PAST_FILE, () => JSON.stringify(past));
  }

  /** Waits for what is being written, and lets the directory go. */
  async close(): Promise<void> {
    if (this.#retry !== null) clearTimeout(this.#retry);
    // A last try for what could not be written.
    if (this.#unwritten.size > 0) this.#writing ??= this.#writeAll();
    await this.#writing;
    await this.slots.settled();
    if (this.#retry !== null) clearTimeout(this.#retry);
    await this.#lock.release();
  }

  #write(file: string, contents: () => string): void {
    this.#unwritten.set(file, contents);
    this.#writing ??= this.#writeAll();
  }

  async #writeAll(): Promise<void> {
    const failed = new Map<string, () => string>();
    for (const [file, contents] of this.#unwritten) {
      this.#unwritten.delete(file);
      try {
        await replaceFile(join(this.#path, file), contents());
        failed.delete(file);
      } catch (fault) {
        failed.set(file, contents);
        if (this.#retry === null) this.#onFault(this.#sentenceOf(fault));
      }
    }
    // In the same turn as the last look, so that nothing falls between two writers.
    this.#writing = null;
    if (this.#retry !== null) clearTimeout(this.#retry);
    this.#retry = null;
    if (failed.size === 0) return;
    for (const [file, contents] of failed) this.#unwritten.set(file, contents);
    this.#retry = setTimeout(() => {
      this.#writing ??= this.#writeAll();
    }, RETRY_MS).unref();
  }

  #sentenceOf(fault: unknown): string {
    const words = diskFault(fault) ?? String(fault);
    return `the state directory ${this.#path} cannot be written: ${words}. What it should hold is kept in memory, and tried again every ${RETRY_MS / 1_000} s`;
  }
}

async function prepareDirectory(directory: string): Promise<string> {
  try {
    makeDirectory(directory, 0o700);
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
    `Another process, perhaps a paused one, has the state directory ${path}. End it, or give this one a directory of its own.`,
  );
}

/**
 * Sees to it that the directory is this machine's, and answers whether that could be seen. Each id
 * is compared by itself, where it is known of both: one that only root may read comes and goes.
 */
async function bindToMachine(
  path: string,
  present: MachineIdentity,
  whenCopied: WhenCopied,
): Promise<boolean> {
  const kept = await readMachine(path);
  const isCopied = isOther(kept, present);
  if (isCopied && whenCopied === "refuse") throw copied(path);
  // Cut off half-way, it is found copied again, and begun anew once more.
  if (isCopied && whenCopied === "renew") await beginAnew(path);
  const known = new Map([...(isCopied ? NO_MACHINE : kept), ...present]);
  const isNew = [...known].some(([name, digest]) => kept.get(name) !== digest) || known.size < kept.size;
  if (isNew) await replaceFile(join(path, MACHINE_FILE), JSON.stringify(Object.fromEntries(known)));
  return present.size > 0 && whenCopied !== "trust";
}

async function readMachine(path: string): Promise<MachineIdentity> {
  const text = await readOptional(join(path, MACHINE_FILE));
  if (text === null) return NO_MACHINE;
  const machine = machineSchema.safeParse(readJson(text));
  if (!machine.success) throw damaged(path, MACHINE_FILE);
  return new Map(Object.entries(machine.data));
}

async function beginAnew(path: string): Promise<void> {
  for (const file of [EPOCHS_FILE, KEYS_FILE, POLICY_FILE, SLOTS_FILE, PAST_FILE])
    await rm(join(path, file), { force: true });
  await makeInstance(path);
}

function copied(path: string): CommandFault {
  return new CommandFault(
    "state-copied",
    `The state directory ${path} was begun on another machine, which may be using its identity still. ` +
      "Remove it, or begin anew in it with --copied-state renew; if the machine is the same and only " +
      "its ids have changed, use --copied-state trust.",
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

async function readSlots(path: string, instance: string): Promise<KeptSlots> {
  try {
    return await KeptSlots.open(join(path, SLOTS_FILE), instance);
  } catch (fault) {
    if (!(fault instanceof DamagedSlots)) throw fault;
    throw new CommandFault(
      "state-unusable",
      `${join(path, SLOTS_FILE)} is damaged, so it is not known which ports are this host's. ` +
        "Remove the file and start again: the edge tells the ports, once it is reached.",
      fault,
    );
  }
}

async function readKeys(path: string): Promise<KeySet | null> {
  const text = await readOptional(join(path, KEYS_FILE));
  // Without keys nobody is let in until the edge has given them again.
  return text === null ? null : parseKeySet(readJson(text));
}

async function readKeptPolicy(path: string, onFault: (sentence: string) => void): Promise<KeptPolicy | null> {
  const text = await readOptional(join(path, POLICY_FILE));
  const kept = text === null ? null : readPolicy(text);
  if (text !== null && kept === null) {
    onFault(
      `${join(path, POLICY_FILE)} is damaged: nobody is served until the edge has given the policy again`,
    );
  }
  return kept;
}

/** It decides nothing, so one that cannot be read is only forgotten. [LV8] */
async function readPast(path: string, onFault: (sentence: string) => void): Promise<PastCounts | null> {
  const text = await readOptional(join(path, PAST_FILE));
  const past = text === null ? null : parsePastCounts(text);
  if (text !== null && past === null) {
    onFault(`${join(path, PAST_FILE)} is damaged: what this host counted before now is forgotten`);
  }
  return past;
}

async function readAdvertised(path: string): Promise<Readonly<Record<string, string>>> {
  const text = await readOptional(join(path, ADVERTISED_FILE));
  if (text === null) return {};
  const advertised = advertisedSchema.safeParse(readJson(text));
  if (advertised.success) return advertised.data;
  throw damaged(path, ADVERTISED_FILE);
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

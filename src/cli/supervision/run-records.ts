/**
 * Who runs here: one small file for every process that was started, so that whatever a killed
 * launcher left behind is found again, and nothing else is ever ended. [CI6]
 *
 * A record is believed only if its process is the very same one (pid and start) and its
 * command line still holds the mark that it was started with.
 */
import { readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { z } from "zod";
import { CommandFault } from "../../process/command-fault.ts";
import { makeDirectory } from "../../process/directories.ts";
import { isAlive, ownIdentity, type ProcessIdentity, viewProcess } from "../../process/process-identity.ts";

const identity = z.object({ pid: z.int().positive(), startedAt: z.string() });
const recordSchema = identity.extend({
  name: z.string(),
  /** A part of the process's command line. */
  mark: z.string(),
  /** The process that started it and looks after it. */
  owner: identity,
  /** Processes whose loss makes the owner end by itself. */
  ownerNeeds: z.array(identity),
});

/** A process that was started here. */
export type RunRecord = z.infer<typeof recordSchema>;

/** How long a leftover may take to end by itself. */
const LEFTOVER_GRACE_MS = 1_000;
/** How long an owner that is bound to end may take for it. */
const OWNER_GRACE_MS = 10_000;
const POLL_MS = 20;

/** The records of one state directory. Its methods are for one process, which owns what it adds. */
export class RunRecords {
  readonly #directory: string;
  readonly #self: ProcessIdentity = ownIdentity();
  readonly #needs: readonly ProcessIdentity[];

  constructor(directory: string, needs: readonly ProcessIdentity[] = []) {
    this.#directory = directory;
    this.#needs = needs;
    makeDirectory(directory);
  }

  /** Notes a process that this one has started, or this one itself. Synchronous, to leave no gap. */
  add(name: string, pid: number, mark: string): void {
    const view = viewProcess(pid);
    // It may have ended already; then there is nothing to be found again.
    if (view === null) return;
    const record: RunRecord = {
      name,
      pid,
      startedAt: view.startedAt,
      mark,
      owner: this.#self,
      ownerNeeds: [...this.#needs],
    };
    const draft = join(this.#directory, `.${name}.${this.#self.pid}`);
    writeFileSync(draft, JSON.stringify(record));
    renameSync(draft, this.#fileOf(name));
  }

  /** Forgets a process that has ended. */
  remove(name: string): void {
    rmSync(this.#fileOf(name), { force: true });
  }

  /** All records that can be read. */
  list(): RunRecord[] {
    const records: RunRecord[] = [];
    for (const file of readdirSync(this.#directory)) {
      if (!file.endsWith(".json")) continue;
      const record = readRecord(join(this.#directory, file));
      if (record) records.push(record);
    }
    return records;
  }

  /**
   * Makes sure that these names are nobody's: throws `already-running` if somebody who lives
   * looks after one, and ends what processes that are gone have left behind. Answers the
   * names of what it ended.
   */
  async takeOver(names: readonly string[]): Promise<string[]> {
    const records = this.list().filter(({ name }) => names.includes(name));
    for (const record of records) await untilOwnerIsGone(record);
    const ended = await Promise.all(records.map(endLeftover));
    for (const { name } of records) this.remove(name);
    return records.filter((_record, at) => ended[at]).map(({ name }) => name);
  }

  #fileOf(name: string): string {
    return join(this.#directory, `${name}.json`);
  }
}

async function untilOwnerIsGone({ name, owner, ownerNeeds }: RunRecord): Promise<void> {
  const deadlineMs = performance.now() + OWNER_GRACE_MS;
  while (isAlive(owner)) {
    if (ownerNeeds.every(isAlive) || performance.now() > deadlineMs) {
      throw new CommandFault(
        "already-running",
        `Already running here, as process ${owner.pid} (${name}); end that first, ` +
          `or use another --state directory.`,
      );
    }
    await delay(POLL_MS);
  }
}

async function endLeftover(record: RunRecord): Promise<boolean> {
  if (!isSame(record)) return false;
  send(record, "SIGTERM");
  const deadlineMs = performance.now() + LEFTOVER_GRACE_MS;
  while (isSame(record)) {
    if (performance.now() > deadlineMs) send(record, "SIGKILL");
    await delay(POLL_MS);
  }
  return true;
}

function isSame(record: RunRecord): boolean {
  const view = viewProcess(record.pid);
  return view?.startedAt === record.startedAt && view.commandLine.includes(record.mark);
}

function send(record: RunRecord, signal: NodeJS.Signals): void {
  try {
    process.kill(record.pid, signal);
  } catch (fault) {
    if ((fault as NodeJS.ErrnoException).code !== "ESRCH") throw fault;
  }
}

function readRecord(file: string): RunRecord | null {
  try {
    return recordSchema.parse(JSON.parse(readFileSync(file, "utf8")));
  } catch {
    return null;
  }
}

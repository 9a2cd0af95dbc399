/**
 * Which data processes an agent has, on disk: a paused one does not notice that its agent was killed,
 * so the next agent has to end it before it gives its units to another. [MP6]
 */
import { readFileSync, writeFileSync } from "node:fs";
import { z } from "zod";
import { isAlive, type ProcessIdentity, viewProcess } from "../../process/process-identity.ts";

const recordSchema = z.array(z.object({ pid: z.int().positive(), startedAt: z.string() }));
const POLL_MS = 10;

/** One per agent, in its state directory. */
export class ProcessRecord {
  readonly #file: string;
  readonly #noted = new Map<number, ProcessIdentity>();

  constructor(file: string) {
    this.#file = file;
  }

  /** Ends what an agent before this one has left behind, and resolves when it has ended. */
  async endLeftovers(): Promise<number> {
    const left = this.#read().filter(isAlive);
    for (const { pid } of left) process.kill(pid, "SIGKILL");
    while (left.some(isAlive)) {
      await new Promise((resolve) => {
        setTimeout(resolve, POLL_MS);
      });
    }
    return left.length;
  }

  /** A process has been started. */
  note(pid: number): void {
    const view = viewProcess(pid);
    if (view === null) return;
    this.#noted.set(pid, { pid, startedAt: view.startedAt });
    this.#write();
  }

  /** A process has ended. */
  forget(pid: number): void {
    if (this.#noted.delete(pid)) this.#write();
  }

  #write(): void {
    writeFileSync(this.#file, JSON.stringify([...this.#noted.values()]), { mode: 0o600 });
  }

  #read(): ProcessIdentity[] {
    try {
      const record = recordSchema.safeParse(JSON.parse(readFileSync(this.#file, "utf8")));
      return record.success ? record.data : [];
    } catch {
      // There was no agent before, or it was killed while it wrote this: its processes end by themselves.
      return [];
    }
  }
}

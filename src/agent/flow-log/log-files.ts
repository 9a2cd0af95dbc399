/**
 * The files of the flow log: `WRITER-NUMBER.jsonl`, one writer to each process, numbered in the order in
 * which they were begun. They say of themselves from when they are, so that a time is found among them.
 */
import { open, readdir, stat, unlink } from "node:fs/promises";
import { join } from "node:path";
import { type FileHead, parseLine } from "./log-lines.ts";

/** A file of the log. */
export interface LogFile {
  readonly path: string;
  /** Who writes it: `blocks`, or the number of a process. */
  readonly writer: string;
  readonly number: number;
}

const NAME = /^([a-z0-9]{1,16})-(\d{8})\.jsonl$/;
/** Longer than any first line. */
const HEAD_BYTES = 1_024;

/** The name of a file. */
export function fileName(writer: string, number: number): string {
  return `${writer}-${String(number).padStart(8, "0")}.jsonl`;
}

/** All of them, each writer's in their order. A directory that is not there has none. */
export async function logFiles(directory: string): Promise<LogFile[]> {
  let names: string[];
  try {
    names = await readdir(directory);
  } catch (fault) {
    if ((fault as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw fault;
  }
  const files: LogFile[] = [];
  for (const name of names.toSorted()) {
    const match = NAME.exec(name);
    if (match === null) continue;
    files.push({ path: join(directory, name), writer: match[1]!, number: Number(match[2]) });
  }
  return files;
}

/** What a file says of itself; null if it cannot be read, or was cut off before it was said. */
export async function headOf({ path }: LogFile): Promise<FileHead | null> {
  let text: string;
  try {
    const file = await open(path, "r");
    try {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(HEAD_BYTES), 0, HEAD_BYTES, 0);
      text = buffer.toString("utf8", 0, bytesRead);
    } finally {
      await file.close();
    }
  } catch {
    return null;
  }
  const end = text.indexOf("\n");
  const line = end === -1 ? null : parseLine(text.slice(0, end));
  if (line?.type !== "file") return null;
  const { run, level, destinations, at, openSince } = line;
  return { run, level, destinations, atMs: at, openSinceMs: openSince };
}

/** Removes the oldest files of writers that are not these, until what is left has no more than so many bytes. */
export async function trimOthers(
  directory: string,
  writers: ReadonlySet<string>,
  maxBytes: number,
): Promise<void> {
  const others: { readonly path: string; readonly size: number; readonly changedMs: number }[] = [];
  for (const { path, writer } of await logFiles(directory)) {
    if (writers.has(writer)) continue;
    const { size, mtimeMs } = await stat(path);
    others.push({ path, size, changedMs: mtimeMs });
  }
  let total = others.reduce((sum, { size }) => sum + size, 0);
  for (const { path, size } of others.toSorted((a, b) => a.changedMs - b.changedMs)) {
    if (total <= maxBytes) return;
    await unlink(path);
    total -= size;
  }
}

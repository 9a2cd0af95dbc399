/**
 * Finds in the flow log of a host who used a port at a time. All processes of the host have their files
 * in one directory, so any of them can answer for all. [AT6]
 *
 *     files, by what they say of their time → those that matter → lines with the port → flows
 *
 * Of each writer only the files are read in which the time, or what was open then, can be; and of these
 * nothing is kept but the lines that are about the port.
 */
import { open } from "node:fs/promises";
import { type FlowAnswer, type FlowQuestion, MAX_FOUND } from "../../wire/flow-answer.ts";
import { BLOCKS_WRITER } from "./block-log.ts";
import { FoundFlows } from "./found-flows.ts";
import { headOf, type LogFile, logFiles } from "./log-files.ts";
import { type FileHead, type LogLine, needleOf, parseLine } from "./log-lines.ts";

/** How long after its end a flow is named: RFC 9293 has 2 MSL of two minutes for what is still under way. */
export const AFTERMATH_MS = 120_000;
const CHUNK_BYTES = 256 * 1024;
/** A line that is longer is none of ours. */
const MAX_LINE_BYTES = 64 * 1024;

interface HeadedFile extends LogFile {
  readonly head: FileHead;
}

/** What a file says of itself never changes, so it is read once. */
const heads = new Map<string, FileHead>();
const KNOWN_HEADS = 4_096;

/** Searches the log in a directory. */
export async function searchFlows(directory: string, question: FlowQuestion): Promise<FlowAnswer> {
  const byWriter = Map.groupBy(await headed(await logFiles(directory)), ({ writer }) => writer);
  const { atMs, throughMs } = question;
  const ofHost = byWriter.get(BLOCKS_WRITER) ?? [];
  const present = ofHost.findLast(({ head }) => head.atMs <= atMs)?.head ?? null;
  const flows = new FoundFlows(question);
  const held: Held = { blocks: [], translations: [] };
  let sinceMs = sinceOf(ofHost);
  for (const [writer, files] of byWriter) {
    if (writer === BLOCKS_WRITER) {
      for await (const line of linesOf(filesFor(files, atMs, throughMs), null))
        noteHeld(line, question, held);
      continue;
    }
    // A writer that still has its first file has lost nothing.
    if (files[0]!.number > 1) sinceMs = Math.max(sinceMs ?? 0, files[0]!.head.atMs);
    const wanted = filesFor(files, atMs - AFTERMATH_MS, throughMs);
    for await (const line of linesOf(wanted, needleOf(question))) flows.add(line);
    flows.runsOf(files.map(({ head }) => head));
  }
  const found = flows.found(AFTERMATH_MS);
  const { blocks, translations } = held;
  const foundCounts = [found.open, found.ended, blocks, translations].map(({ length }) => length);
  const isKept = present !== null && sinceMs !== null && atMs >= sinceMs;
  const level = isKept ? present.level : found.open.length > 0 ? "flows" : "unknown";
  return {
    level,
    destinations: present?.destinations ?? false,
    sinceMs,
    flows: found.open.slice(0, MAX_FOUND),
    ended: found.ended.slice(0, MAX_FOUND),
    blocks: blocks.slice(0, MAX_FOUND),
    translations: translations.slice(0, MAX_FOUND),
    isComplete: Math.max(...foundCounts) <= MAX_FOUND,
  };
}

async function headed(files: readonly LogFile[]): Promise<HeadedFile[]> {
  const found: HeadedFile[] = [];
  if (heads.size > KNOWN_HEADS) heads.clear();
  for (const file of files) {
    const head = heads.get(file.path) ?? (await headOf(file));
    if (head === null) continue;
    heads.set(file.path, head);
    found.push({ ...file, head });
  }
  return found;
}

/** From when on the host has logged, without a gap of its own making. */
function sinceOf(files: readonly HeadedFile[]): number | null {
  return files[0]?.head.atMs ?? null;
}

/** The files of a writer that can have anything to do with a time from `fromMs` to `toMs`. */
export function filesFor<File extends { readonly head: FileHead }>(
  files: readonly File[],
  fromMs: number,
  toMs: number,
): readonly File[] {
  const reachOf = ({ head }: File): number => head.openSinceMs ?? head.atMs;
  const present = files.findLastIndex(({ head }) => head.atMs <= fromMs);
  if (present === -1) return files.filter((file) => reachOf(file) <= toMs);
  const sinceMs = Math.min(fromMs, reachOf(files[present]!));
  const first = files.findLastIndex(({ head }) => head.atMs <= sinceMs);
  // Where nothing was open that began before the time, nothing follows that is about it.
  const end = files.findIndex((file, at) => at > present && reachOf(file) > toMs);
  return files.slice(Math.max(0, first), end === -1 ? files.length : end);
}

/** The lines of files that have some text in them; all lines without one. */
async function* linesOf(files: readonly LogFile[], needle: string | null): AsyncGenerator<LogLine> {
  const wanted = needle === null ? null : Buffer.from(needle);
  for (const { path } of files) {
    let file;
    try {
      file = await open(path, "r");
    } catch {
      // Given up meanwhile: what is open of it is in a later one.
      continue;
    }
    try {
      const buffer = Buffer.allocUnsafe(CHUNK_BYTES + MAX_LINE_BYTES);
      let kept = 0;
      for (;;) {
        const { bytesRead } = await file.read(buffer, kept, CHUNK_BYTES, null);
        if (bytesRead === 0) break;
        const bytes = buffer.subarray(0, kept + bytesRead);
        const end = bytes.lastIndexOf(10) + 1;
        for (const text of textsIn(bytes.subarray(0, end), wanted)) {
          const line = parseLine(text);
          if (line !== null) yield line;
        }
        kept = bytes.length - end > MAX_LINE_BYTES ? 0 : bytes.length - end;
        if (kept > 0) buffer.copyWithin(0, end, end + kept);
      }
    } finally {
      await file.close();
    }
  }
}

/** The lines, of whole ones, that have the text in them. */
function* textsIn(bytes: Buffer, wanted: Buffer | null): Generator<string> {
  let at = 0;
  while (at < bytes.length) {
    const hit = wanted === null ? at : bytes.indexOf(wanted, at);
    if (hit === -1) return;
    const start = bytes.lastIndexOf(10, hit) + 1;
    const end = bytes.indexOf(10, hit);
    yield bytes.toString("utf8", wanted === null ? at : start, end);
    at = end + 1;
  }
}

/** What the host had of the address, with the port. */
type Held = Pick<FlowAnswer, "blocks" | "translations">;

function noteHeld(line: LogLine, question: FlowQuestion, { blocks, translations }: Held): void {
  const { ip, port, atMs, throughMs } = question;
  if (line.type === "file") {
    // What a process that is gone had, this one has begun anew, or has not.
    const ended = line.openSince === null ? line.at : null;
    endIn(blocks, ended, atMs, () => true);
    endIn(translations, ended, atMs, () => true);
    return;
  }
  if (!("first" in line) || line.ip !== ip || port < line.first || port > line.last) return;
  const { first, last } = line;
  if (line.type === "block-end") return endIn(blocks, line.end, atMs, ({ epoch }) => epoch === line.epoch);
  if (line.type === "translation-end") return endIn(translations, line.end, atMs, () => true);
  if (line.start > throughMs) return;
  const period = { first, last, startMs: line.start, endMs: null };
  if (line.type === "translation") {
    if (translations.every(({ endMs }) => endMs !== null))
      translations.push({ ...period, names: line.names });
  } else if (blocks.every((block) => block.epoch !== line.epoch || block.endMs !== null)) {
    blocks.push({ ...period, epoch: line.epoch });
  }
}

/** Ends those that go on, if they end, and leaves out what was over at the time. */
function endIn<Period extends { endMs: number | null }>(
  periods: Period[],
  atMs: number | null,
  askedMs: number,
  isMeant: (period: Period) => boolean,
): void {
  if (atMs !== null) {
    for (const period of periods) if (period.endMs === null && isMeant(period)) period.endMs = atMs;
  }
  for (let at = periods.length - 1; at >= 0; at -= 1) {
    const { endMs } = periods[at]!;
    if (endMs !== null && endMs <= askedMs) periods.splice(at, 1);
  }
}

/**
 * Says in a sentence when the edge's disk takes nothing more. The edge goes on with what it knows,
 * its objects refuse what they cannot store, and workerd has only a trace to say about it. [CI12]
 */
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { diskFault } from "../../process/disk-faults.ts";

const INTERVAL_MS = 2_000;
/** A page of the edge's database. */
const PROBE = Buffer.alloc(4_096);

/** Tries the disk of a directory from time to time, until it is told to stop; keeps no process alive. */
export function watchDisk(directory: string, report: (sentence: string) => void, stop: AbortSignal): void {
  const file = join(directory, ".disk-probe");
  let isUsable = true;
  let timer: NodeJS.Timeout;
  const look = async (): Promise<void> => {
    const words = await probe(file);
    if (words !== null && isUsable) {
      report(
        `The edge can store nothing in ${directory}: ${words}. Until it can, no host is granted anything new.`,
      );
    } else if (words === null && !isUsable) {
      report(`The edge can store in ${directory} again.`);
    }
    isUsable = words === null;
    if (stop.aborted) return;
    timer = setTimeout(() => void look(), INTERVAL_MS).unref();
  };
  timer = setTimeout(() => void look(), INTERVAL_MS).unref();
  stop.addEventListener("abort", () => clearTimeout(timer));
}

/** Why nothing can be written, in words; null if it can. */
async function probe(file: string): Promise<string | null> {
  try {
    await writeFile(file, PROBE);
    return null;
  } catch (fault) {
    return diskFault(fault) ?? String(fault);
  } finally {
    await rm(file, { force: true }).catch(() => {});
  }
}

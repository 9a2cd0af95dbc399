/** Files that are replaced as a whole: written beside, flushed to disk, renamed. */
import { open, readFile, rename } from "node:fs/promises";
import { dirname } from "node:path";

/** Replaces a file, which is then its owner's alone to read. A crash leaves the old one or the new. */
export async function replaceFile(file: string, contents: string): Promise<void> {
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

/** As `replaceFile`, and what is there when it is done is there after a loss of power too. */
export async function replaceFileForGood(file: string, contents: string): Promise<void> {
  await replaceFile(file, contents);
  const handle = await open(dirname(file), "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** The text of a file; null if there is none. */
export async function readOptional(file: string): Promise<string | null> {
  try {
    return await readFile(file, "utf8");
  } catch (fault) {
    if ((fault as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw fault;
  }
}

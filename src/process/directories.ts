/** Directories that programs make for themselves. */
import { chmodSync, mkdirSync, statSync } from "node:fs";
import { dirname } from "node:path";

const OWN = 0o700;
const OTHERS = 0o077;

/**
 * Makes a directory, and those above it that are missing. Throws the system's fault with the path
 * that it is about. Node's own `recursive` never ends where a file system lets nobody make
 * directories and says ENOENT, as /proc does.
 */
export function makeDirectory(directory: string, mode = 0o777): void {
  try {
    mkdirSync(directory, mode);
  } catch (fault) {
    const { code } = fault as NodeJS.ErrnoException;
    const above = dirname(directory);
    if (code === "EEXIST" && statSync(directory).isDirectory()) return;
    if (code !== "ENOENT" || above === directory || isThere(above)) throw fault;
    makeDirectory(above, mode);
    makeDirectory(directory, mode);
  }
}

/** The same of one that is this user's alone; one that is there and that others can look into is closed to them. */
export function makeOwnDirectory(directory: string): void {
  makeDirectory(directory, OWN);
  if ((statSync(directory).mode & OTHERS) !== 0) chmodSync(directory, OWN);
}

function isThere(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false }) !== undefined;
}

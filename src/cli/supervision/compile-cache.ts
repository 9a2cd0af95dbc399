/**
 * Where Node keeps what it compiled. It runs what it finds there, so the directory is one that this
 * user alone can write: below the home directory that the system's table of users names, never one
 * that the environment does, nor a shared one. [CI13]
 */
import { lstatSync } from "node:fs";
import { userInfo } from "node:os";
import { join } from "node:path";
import { makeDirectory } from "../../process/directories.ts";

const MODE = 0o700;
const WRITABLE_BY_OTHERS = 0o022;

/** The directory, made if need be; null where there can be none, and Node compiles at each start. */
export function compileCache(home = homeOfUser()): string | null {
  if (home === null) return null;
  const directory = join(home, ".cache", "ipshard", "compiled");
  try {
    makeDirectory(directory, MODE);
    // Whoever may write one of them may put another directory in the place of what is below it.
    const path = [home, join(home, ".cache"), join(home, ".cache", "ipshard"), directory];
    return path.every(isOurs) ? directory : null;
  } catch {
    return null;
  }
}

function isOurs(directory: string): boolean {
  const found = lstatSync(directory);
  return found.isDirectory() && found.uid === process.getuid?.() && (found.mode & WRITABLE_BY_OTHERS) === 0;
}

function homeOfUser(): string | null {
  try {
    return userInfo().homedir;
  } catch {
    return null;
  }
}

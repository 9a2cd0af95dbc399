/** Faults of a disk, with what to do about each. The system names no path when a write fails. [CI12] [AG7] */
const DISK_FAULTS: Readonly<Record<string, string>> = {
  EDQUOT: "this user's share of the disk is used up: make room",
  EFBIG: "a file there may not grow any more: raise the limit (ulimit -f)",
  EIO: "the disk does not work",
  ENOSPC: "the disk is full: make room",
  EROFS: "the disk can only be read",
};

/** What is wrong with the disk, in words; null if it is not that. */
export function diskFault(fault: unknown): string | null {
  const { code, message } = fault as NodeJS.ErrnoException;
  const words = code === undefined ? undefined : DISK_FAULTS[code];
  return words === undefined ? null : `${words} (${message})`;
}

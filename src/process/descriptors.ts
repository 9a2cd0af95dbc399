/** How many files and sockets this process may have open at the same time. */
import { readFileSync } from "node:fs";

/** Node raises it to the most that is allowed when it starts. Infinite where there is no limit, or none is known. */
export function descriptorLimit(): number {
  try {
    const limits = readFileSync("/proc/self/limits", "utf8");
    const [, soft] = /^Max open files +(\d+) /m.exec(limits) ?? [];
    return soft === undefined ? Infinity : Number(soft);
  } catch {
    // Only Linux has this file.
    return Infinity;
  }
}

/** Where a copy of an edge has files. Whoever made it says so, and that need not have been `edge backup`. [OC8] */
import { join, relative, sep } from "node:path";
import { StatePaths } from "../state-paths.ts";

/** Whether an edge has such a file there, by its path below a state directory. */
export function isPathOfCopy(path: unknown): path is string {
  if (typeof path !== "string" || path.includes("\0")) return false;
  const state = new StatePaths(sep);
  const whole = join(state.root, path);
  // One that is written otherwise than it was found is none.
  if (relative(state.root, whole) !== path) return false;
  return (
    (whole.startsWith(state.edgeStorage + sep) && whole.endsWith(".sqlite")) ||
    (whole.startsWith(state.keys + sep) && whole.endsWith(".json")) ||
    whole === state.metricsTokenFile
  );
}

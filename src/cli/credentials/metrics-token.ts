/** What Prometheus shows to the edge of this machine: made once, readable by its owner alone. [MT8] */
import { randomBytes } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { makeDirectory } from "../../process/directories.ts";
import type { StatePaths } from "../state-paths.ts";
import { readSmallFile } from "../../process/small-file.ts";

const TOKEN_BYTES = 32;

/** The token, from its file; makes what is absent. */
export async function ensureMetricsToken(state: StatePaths): Promise<string> {
  const file = state.metricsTokenFile;
  makeDirectory(dirname(file), 0o700);
  try {
    await writeFile(file, `${randomBytes(TOKEN_BYTES).toString("hex")}\n`, { mode: 0o600, flag: "wx" });
  } catch (fault) {
    if ((fault as NodeJS.ErrnoException).code !== "EEXIST") throw fault;
  }
  return (await readSmallFile(file)).trim();
}

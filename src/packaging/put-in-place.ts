/**
 * Puts what was built in the place of what was built before. Programs and edges may be running from there: none
 * of them ever finds nothing. [DA8]
 */
import { readdir, rename, rm } from "node:fs/promises";
import { basename, join } from "node:path";
import { replacePage } from "../cli/edge/page-build.ts";

/** An edge has it open as a directory, so it stays the same one. */
const PAGE = "dashboard";

/** Takes everything out of `fresh`, which lies in `dist`; what was in `dist` and is not built any more goes. */
export async function putInPlace(fresh: string, dist: string): Promise<void> {
  const built = await readdir(fresh);
  const former = (await readdir(dist)).filter((name) => name !== basename(fresh));
  for (const name of built) {
    const place = join(dist, name);
    if (name === PAGE && former.includes(PAGE)) {
      await replacePage(place, join(fresh, name));
      continue;
    }
    if (former.includes(name)) await rename(place, join(fresh, `${name}-before`));
    await rename(join(fresh, name), place);
  }
  const gone = former.filter((name) => !built.includes(name));
  await Promise.all([fresh, ...gone.map((name) => join(dist, name))].map(removed));
}

function removed(path: string): Promise<void> {
  return rm(path, { recursive: true, force: true });
}

/**
 * Loads the simulator once more with a bug in it, beside the one without: production code needs
 * no switch for that. Every module of the patched copy has the bug's name behind its URL, and so
 * has whatever it imports, so that nothing of the two is shared.
 */
import assert from "node:assert/strict";
import { registerHooks } from "node:module";
import { fileURLToPath } from "node:url";
import type { Run } from "./run.ts";
import { PLANTED_BUGS, type PlantedBug, withBug } from "./planted-bugs.ts";

const ROOT = new URL("../../", import.meta.url).href;
const MARK = "planted";

/** What `run.ts` exports, of a simulator with this bug; fails if the bug cannot be planted. */
export async function plant(bug: PlantedBug): Promise<{ readonly Run: typeof Run }> {
  const url = new URL("run.ts", import.meta.url);
  url.searchParams.set(MARK, bug.name);
  const planted = (await import(url.href)) as { readonly Run: typeof Run };
  assert(patched.has(bug.name), `nothing of the simulator loads ${bug.file}, where ${bug.name} was to be`);
  return planted;
}

const patched = new Set<string>();

function bugOf(url: string | undefined): PlantedBug | undefined {
  if (url?.startsWith(ROOT) !== true) return undefined;
  const name = new URL(url).searchParams.get(MARK);
  return name === null ? undefined : PLANTED_BUGS.find((bug) => bug.name === name);
}

registerHooks({
  resolve: (specifier, context, next) => {
    const resolved = next(specifier, context);
    const bug = bugOf(context.parentURL);
    if (bug === undefined || !resolved.url.startsWith(ROOT) || resolved.url.includes("/node_modules/")) {
      return resolved;
    }
    const url = new URL(resolved.url);
    url.searchParams.set(MARK, bug.name);
    return { ...resolved, url: url.href };
  },
  load: (url, context, next) => {
    const loaded = next(url, context);
    const bug = bugOf(url);
    if (bug === undefined || fileURLToPath(url) !== fileURLToPath(new URL(bug.file, ROOT))) return loaded;
    const { source } = loaded;
    const text = typeof source === "string" ? source : new TextDecoder().decode(source);
    patched.add(bug.name);
    return { ...loaded, source: withBug(bug, text) };
  },
});

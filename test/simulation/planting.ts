/**
 * Loads the simulator once more with a bug in it, beside the one without: production code needs
 * no switch for that. The patched module has the bug's name behind its URL, and so has every
 * module that loads it, so that nothing that could show the bug is shared. All others are the same
 * for every bug: to load and to compile them takes longer than most runs.
 */
import assert from "node:assert/strict";
import { registerHooks } from "node:module";
import { fileURLToPath } from "node:url";
import { ModuleGraph } from "./module-graph.ts";
import type { Run } from "./run.ts";
import { PLANTED_BUGS, type PlantedBug, withBug } from "./planted-bugs.ts";

const ROOT = new URL("../../", import.meta.url).href;
const RUN = new URL("run.ts", import.meta.url).href;
const MARK = "planted";

const graph = new ModuleGraph(RUN);

/** What `run.ts` exports, of a simulator with this bug; fails if the bug cannot be planted. */
export async function plant(bug: PlantedBug): Promise<{ readonly Run: typeof Run }> {
  const planted = (await import(marked(RUN, bug))) as { readonly Run: typeof Run };
  assert(patched.has(bug.name), `nothing of the simulator loads ${bug.file}, where ${bug.name} was to be`);
  return planted;
}

const patched = new Set<string>();

function marked(href: string, { name }: PlantedBug): string {
  const url = new URL(href);
  url.searchParams.set(MARK, name);
  return url.href;
}

function bugOf(url: string | undefined): PlantedBug | undefined {
  if (url?.startsWith(ROOT) !== true) return undefined;
  const name = new URL(url).searchParams.get(MARK);
  return name === null ? undefined : PLANTED_BUGS.find((bug) => bug.name === name);
}

registerHooks({
  resolve: (specifier, context, next) => {
    const resolved = next(specifier, context);
    const bug = bugOf(context.parentURL);
    if (bug === undefined || !graph.loadersOf(new URL(bug.file, ROOT).href).has(resolved.url))
      return resolved;
    return { ...resolved, url: marked(resolved.url, bug) };
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

/** Which module of the repository loads which, by their sources. */
import { readFileSync } from "node:fs";

/** What is imported for its types alone is not loaded. */
const LOADED = /^(?:import|export)\s+(?!type\b)(?:[^;"]*?\sfrom\s+)?"(\.[^"]+)"/gm;

/** A module and all that it loads, each by its URL. */
export class ModuleGraph {
  /** By module, those that import it. */
  readonly #importers = new Map<string, Set<string>>();

  constructor(root: string) {
    this.#add(root);
  }

  /** A module and whatever loads it, be it through others. */
  loadersOf(url: string): ReadonlySet<string> {
    const loaders = new Set([url]);
    // What is added to a set meanwhile has its turn as well.
    for (const loader of loaders) {
      for (const importer of this.#importers.get(loader) ?? []) loaders.add(importer);
    }
    return loaders;
  }

  #add(url: string): void {
    if (this.#importers.has(url)) return;
    this.#importers.set(url, new Set());
    for (const [, specifier] of readFileSync(new URL(url), "utf8").matchAll(LOADED)) {
      const imported = new URL(specifier!, url).href;
      this.#add(imported);
      this.#importers.get(imported)!.add(url);
    }
  }
}

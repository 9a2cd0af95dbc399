/** Which tests a change may break: those that come to a changed file by imports, the nearest and those of its name first. */
import { glob, readFile } from "node:fs/promises";
import { basename, dirname, join, normalize } from "node:path";

/** Test files by the number of imports between them and the nearest changed file. */
export type Distances = ReadonlyMap<string, number>;

const CODE = ["src/**/*.ts", "durable-objects/**/*.ts", "test/**/*.ts", "vitest.config.ts"];
const IMPORT = /(?:from|import) "(\.[^"]+)"/g;

/**
 * Paths are relative to the project. Tests of a folder of the same name are among them even where no
 * import leads to the change, since tests of programs start them by name.
 */
export async function testsAffectedBy(changed: readonly string[]): Promise<Distances> {
  const importers = await readImporters();
  const distances = new Map<string, number>(changed.map((file) => [normalize(file), 0]));
  const queue = [...distances.keys()];
  for (const file of queue) {
    for (const importer of importers.get(file) ?? []) {
      if (distances.has(importer)) continue;
      distances.set(importer, distances.get(file)! + 1);
      queue.push(importer);
    }
  }
  const far = Math.max(...distances.values()) + 1;
  for (const file of changed) {
    for await (const test of glob(`${testFolderOf(file)}/**/*.test.ts`)) {
      const distance = distances.get(test) ?? far;
      distances.set(test, isNamesake(test, file) ? Math.min(distance, 1) : distance);
    }
  }
  const found = [...distances].filter(([file]) => file.endsWith(".test.ts"));
  return new Map(found.toSorted(([, a], [, b]) => a - b));
}

/** Through a rig that has everything nothing is near: the tests of `tunnel-relay.ts` are those of tunnels. */
function isNamesake(test: string, changed: string): boolean {
  const [of, its] = [wordsOf(test), wordsOf(changed)];
  return of.every((word) => its.includes(word)) || its.every((word) => of.includes(word));
}

function wordsOf(file: string): string[] {
  const [name] = basename(file).split(".");
  return name!.split("-").map((word) => word.replace(/s$/, ""));
}

/** `src/cli/main.ts` is spoken of in `test/cli`, and documents in `test/repo`. */
function testFolderOf(file: string): string {
  const [top, area] = file.split("/");
  if (top === "src" && area !== undefined) return `test/${area}`;
  return top === "durable-objects" ? "test/durable-objects" : "test/repo";
}

async function readImporters(): Promise<Map<string, Set<string>>> {
  const importers = new Map<string, Set<string>>();
  for await (const file of glob(CODE)) {
    for (const [, path] of (await readFile(file, "utf8")).matchAll(IMPORT)) {
      const imported = join(dirname(file), path!);
      const known = importers.get(imported) ?? new Set();
      importers.set(imported, known.add(file));
    }
  }
  return importers;
}

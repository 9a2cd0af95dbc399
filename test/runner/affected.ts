/** Which tests a change may break: those that come to a changed file by imports, the nearest first. */
import { glob, readFile } from "node:fs/promises";
import { dirname, join, normalize } from "node:path";

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
      if (!distances.has(test)) distances.set(test, far);
    }
  }
  return new Map([...distances].filter(([file]) => file.endsWith(".test.ts")));
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

/** What TypeScript is told of the entries that programs import: declarations of them and of no more. [PK6] */
import { execFile } from "node:child_process";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join, relative } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);
const IMPORT = /(from |import\()"(\.[^"]+)\.ts"/g;

/** Sources and where their declarations go, both below the root. */
export interface Declared {
  readonly root: string;
  readonly entries: readonly string[];
  readonly outdir: string;
}

/** Writes the declarations of these entries, and of what they mention, laid out as the sources are. */
export async function declare({ root, entries, outdir }: Declared): Promise<void> {
  const scratch = join(outdir, "all");
  await mkdir(scratch, { recursive: true });
  const config = join(scratch, "tsconfig.json");
  await writeFile(config, JSON.stringify(configOf(root, entries, scratch)));
  const compiler = createRequire(import.meta.url).resolve("typescript/package.json");
  await run(process.execPath, [join(dirname(compiler), "bin/tsc"), "-p", config]).catch(
    (cause: { readonly stdout: string }) => {
      throw new Error(`The declarations cannot be made:\n${cause.stdout}`, { cause });
    },
  );
  await copyReached(
    join(scratch, "out"),
    outdir,
    entries.map((entry) => declarationOf(relative("src", entry))),
  );
  await rm(scratch, { recursive: true });
}

function configOf(root: string, entries: readonly string[], scratch: string): object {
  return {
    extends: join(root, "tsconfig.base.json"),
    compilerOptions: {
      composite: false,
      declaration: true,
      emitDeclarationOnly: true,
      lib: ["ES2024", "DOM", "DOM.Iterable"],
      types: ["node"],
      typeRoots: [join(root, "node_modules/@types")],
      rootDir: join(root, "src"),
      outDir: join(scratch, "out"),
    },
    files: entries.map((entry) => join(root, entry)),
  };
}

/** The compiler writes one for each source that it has read; most are nobody's business. */
async function copyReached(from: string, to: string, entries: readonly string[]): Promise<void> {
  const reached = new Set<string>(entries);
  for (const file of reached) {
    const text = await readFile(join(from, file), "utf8");
    for (const [, , path] of text.matchAll(IMPORT)) reached.add(join(dirname(file), `${path}.d.ts`));
    await mkdir(dirname(join(to, file)), { recursive: true });
    // The compiler leaves the names of the sources in.
    await writeFile(join(to, file), text.replace(IMPORT, '$1"$2.js"'));
  }
}

function declarationOf(source: string): string {
  return source.replace(/\.ts$/, ".d.ts");
}

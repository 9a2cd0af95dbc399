/** Packages as they are packed, and projects that install them as a stranger would. */
import { execFile } from "node:child_process";
import { cp, mkdir, mkdtemp, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { promisify } from "node:util";
import { personEnvironment } from "../runner/person-environment.ts";

const run = promisify(execFile);
const ROOT = join(import.meta.dirname, "../..");
/** What npm puts into every package, and the files that the manifest names beside the built ones. */
const UNBUILT = ["package.json", "README.md", "LICENSE", "bin", "docs/ipshard.schema.json"];

/** Files that `npm pack` has made. */
export interface Packed {
  readonly whole: PackedFile;
  readonly sdk: PackedFile;
}

/** What npm says of one. */
export interface PackedFile {
  readonly path: string;
  readonly size: number;
  readonly unpackedSize: number;
  readonly files: readonly { readonly path: string; readonly size: number }[];
}

/** Builds and packs both, without a trace in the repository. */
export async function packBoth(directory: string): Promise<Packed> {
  const staged = join(directory, "staged");
  await mkdir(staged);
  for (const name of UNBUILT) await cp(join(ROOT, name), join(staged, name), { recursive: true });
  await run(process.execPath, [join(ROOT, "src/packaging/main.ts"), join(staged, "dist")]);
  return {
    whole: await pack(staged, directory),
    sdk: await pack(join(staged, "dist/sdk-package"), directory),
  };
}

/** Packs a directory; `isRepository` builds first, as whoever publishes does. */
export async function pack(from: string, into: string, isRepository = false): Promise<PackedFile> {
  const args = ["pack", "--json", "--pack-destination", into];
  if (!isRepository) args.push("--ignore-scripts");
  const { stdout } = await run("npm", args, { cwd: from, env: personEnvironment() });
  // What the build says comes first.
  const told = JSON.parse(stdout.slice(stdout.search(/^[[{]/m))) as unknown;
  const [only] = Object.values(told as object) as (PackedFile & { filename: string })[];
  return { ...only!, path: join(into, only!.filename.replace("/", "-").replace("@", "")) };
}

/** A project of a stranger's. */
export interface Project {
  readonly directory: string;
  /** Runs a command in it, on its Node; throws what it said if it fails. */
  readonly run: (command: string, args: readonly string[]) => Promise<Said>;
  /** Writes a module, and runs it with these arguments. */
  readonly runModule: (text: string, ...args: string[]) => Promise<Said>;
}

/** What a command has said. */
export interface Said {
  readonly stdout: string;
  readonly stderr: string;
}

/** An empty folder into which these files are installed, on this Node, with no registry at hand. */
export async function newProject(node: string, ...packed: readonly PackedFile[]): Promise<Project> {
  const directory = await temporaryProject();
  const env = {
    ...personEnvironment(),
    PATH: `${dirname(node)}${delimiter}${process.env["PATH"]}`,
    PWD: directory,
  };
  const runHere = (command: string, args: readonly string[]): Promise<Said> =>
    run(command, [...args], { cwd: directory, env });
  await writeFile(join(directory, "package.json"), JSON.stringify({ private: true, type: "module" }));
  const paths = packed.map(({ path }) => path);
  await runHere("npm", ["install", "--offline", "--no-audit", "--no-fund", ...paths]);
  return {
    directory,
    run: runHere,
    runModule: async (text, ...args) => {
      const file = join(directory, `main-${(count += 1)}.js`);
      await writeFile(file, text);
      return runHere(node, [file, ...args]);
    },
  };
}

let count = 0;

/** Lends a project a package of the repository's, as if it had installed it. */
export async function lend({ directory }: Project, ...names: readonly string[]): Promise<void> {
  for (const name of names) {
    const at = join(directory, "node_modules", name);
    await mkdir(dirname(at), { recursive: true });
    await symlink(join(ROOT, "node_modules", name), at);
  }
}

/** Names of what is installed in a project. */
export async function installedIn({ directory }: Project): Promise<string[]> {
  return (await readdir(join(directory, "node_modules"))).filter((name) => !name.startsWith("."));
}

const directories: string[] = [];

/** A directory that `removeProjects` removes. */
export async function temporaryProject(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "ipshard-packages-"));
  directories.push(directory);
  return directory;
}

/** For the end of a file of tests. */
export async function removeProjects(): Promise<void> {
  for (const directory of directories.splice(0)) await rm(directory, { recursive: true, force: true });
}

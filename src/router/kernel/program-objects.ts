/**
 * Where the programs for the kernel are: in a package as they were built, in a checkout compiled at need, by clang. They
 * are not kept in the repository, since nobody can read in a review what is in an object.
 */
import { createHash } from "node:crypto";
import { access, mkdir, readFile, rename } from "node:fs/promises";
import { join } from "node:path";
import { compileBpf } from "../../linux/bpf-compiler.ts";
import { KernelFault } from "../../linux/kernel-commands.ts";
import { isBuilt, ownFile } from "../../process/own-files.ts";

/** Object files. */
export interface ProgramObjects {
  readonly steer: string;
  readonly devices: string;
}

const SOURCES = "src/router/xdp";
const SOURCE_FILES = ["tables.h", "steer.c", "devices.c"] as const;
const PROGRAMS = ["steer", "devices"] as const;

/** Finds or makes them. */
export async function programObjects(): Promise<ProgramObjects> {
  if (!isBuilt) return compiledObjects();
  const objects = objectsIn(ownFile("dist/xdp"));
  try {
    await access(objects.steer);
  } catch (fault) {
    throw new KernelFault("xdp-unavailable", `this package has no program for XDP: ${objects.steer}`, fault);
  }
  return objects;
}

/** Compiles them into a directory. */
export async function buildPrograms(directory: string): Promise<void> {
  await mkdir(directory, { recursive: true });
  for (const program of PROGRAMS) {
    await compileBpf(ownFile(`${SOURCES}/${program}.c`), join(directory, `${program}.o`));
  }
}

async function compiledObjects(): Promise<ProgramObjects> {
  const hash = createHash("sha256");
  for (const file of SOURCE_FILES) hash.update(await readFile(ownFile(`${SOURCES}/${file}`)));
  const directory = ownFile(`node_modules/.cache/ipshard/xdp-${hash.digest("hex").slice(0, 16)}`);
  try {
    await access(directory);
  } catch {
    // Several may do so at a time; the first is as good as the last.
    const fresh = `${directory}.${process.pid}-${process.hrtime.bigint()}`;
    await buildPrograms(fresh);
    await rename(fresh, directory).catch((fault: unknown) => {
      if (!["ENOTEMPTY", "EEXIST"].includes((fault as NodeJS.ErrnoException).code ?? "")) throw fault;
    });
  }
  return objectsIn(directory);
}

function objectsIn(directory: string): ProgramObjects {
  return { steer: join(directory, "steer.o"), devices: join(directory, "devices.o") };
}

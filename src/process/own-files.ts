/**
 * Where the files of this package are: in a checkout its sources, in an installed package what was built
 * of them. Modules are bundled there, so no other module may look for a file beside itself. [PK3]
 */
import { fileURLToPath } from "node:url";

/** From `src/process/` and from `dist/node/` alike. */
const ROOT = new URL("../../", import.meta.url);

/** Programs that run as processes of their own, by their sources. */
const PROGRAMS = {
  cli: "src/cli/main.ts",
  agent: "src/agent/main.ts",
  "data-process": "src/agent/data-process.ts",
  doctor: "src/agent/doctor/main.ts",
  router: "src/router/main.ts",
  "router-doctor": "src/router/doctor/main.ts",
} as const;

/** A program of this package. */
export type OwnProgram = keyof typeof PROGRAMS;

/** Every program, with its source below the root of the package. */
export const OWN_PROGRAMS: Readonly<Record<OwnProgram, string>> = PROGRAMS;

/** Whether this runs as it was built, and not from its sources. */
export const isBuilt = import.meta.url.endsWith(".js");

/** What is given to Node to run a program. */
export function ownProgram(program: OwnProgram): string {
  return ownFile(isBuilt ? `dist/node/${program}.js` : PROGRAMS[program]);
}

/** Whether a word of a command line is that program, as it is installed anywhere or in a checkout. */
export function isOwnProgram(word: string, program: OwnProgram): boolean {
  return [PROGRAMS[program], `dist/node/${program}.js`].some((path) => `/${word}`.endsWith(`/${path}`));
}

/** A file by its path below the root of the package. */
export function ownFile(path: string): string {
  return fileURLToPath(new URL(path, ROOT));
}

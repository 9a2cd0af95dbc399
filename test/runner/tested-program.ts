/**
 * The programs as tests start them: as `npm test` has built them, which is what is packed, or from the
 * sources where a test is run by itself. What is built starts with a fifth of the work, and tests start
 * them by the thousand.
 */
import { join } from "node:path";
import { OWN_PROGRAMS, type OwnProgram } from "../../src/process/own-files.ts";

/** Set by `npm test`: `built`, or nothing. */
export const TESTED_VARIABLE = "TESTED_PROGRAMS";

const ROOT = join(import.meta.dirname, "../..");

/** What is given to Node to run a program. */
export function testedProgram(program: OwnProgram): string {
  const isBuilt = process.env[TESTED_VARIABLE] === "built";
  return join(ROOT, isBuilt ? `dist/node/${program}.js` : OWN_PROGRAMS[program]);
}

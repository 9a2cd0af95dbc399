/** Which ipshard this is. */
import { readFileSync } from "node:fs";
import { z } from "zod";

const MANIFEST = new URL("../../package.json", import.meta.url);

/** The version of the package, as its manifest says. */
export function packageVersion(): string {
  return z.object({ version: z.string() }).parse(JSON.parse(readFileSync(MANIFEST, "utf8"))).version;
}

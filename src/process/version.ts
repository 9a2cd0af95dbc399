/** Which ipshard this is. */
import { readFileSync } from "node:fs";
import { z } from "zod";
import { ownFile } from "./own-files.ts";

/** The version of the package, as its manifest says. */
export function packageVersion(): string {
  return z.object({ version: z.string() }).parse(JSON.parse(readFileSync(ownFile("package.json"), "utf8")))
    .version;
}

/** `npm run docs`: writes the references in docs/reference anew, from the code. */
import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { apiReference } from "./routes.ts";
import { commandReference } from "./commands.ts";
import { errorReference } from "./errors.ts";
import { settingReference } from "./settings.ts";

/** Where they are. */
const FOLDER = join(import.meta.dirname, "../../docs/reference");

/** Every reference, by its file. */
export const REFERENCES: ReadonlyMap<string, () => string> = new Map([
  [join(FOLDER, "errors.md"), errorReference],
  [join(FOLDER, "cli.md"), commandReference],
  [join(FOLDER, "api.md"), apiReference],
  [join(FOLDER, "settings.md"), settingReference],
]);

if (import.meta.main) {
  for (const [file, write] of REFERENCES) {
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, write());
  }
}

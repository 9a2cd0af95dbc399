/** `npm run docs`: writes anew what is made from the code: the references, that of metrics, and the schema of files. */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { withReference } from "../../src/metrics/reference.ts";
import { configSchema, SCHEMA_FILE } from "./config-schema.ts";
import { apiReference } from "./routes.ts";
import { commandReference } from "./commands.ts";
import { errorReference } from "./errors.ts";
import { settingReference } from "./settings.ts";

/** Where they are. */
const FOLDER = join(import.meta.dirname, "../../docs/reference");

/** A document of which a part is the reference. */
const METRICS = join(import.meta.dirname, "../../docs/METRICS.md");

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
  await writeFile(METRICS, withReference(await readFile(METRICS, "utf8")));
  await writeFile(SCHEMA_FILE, configSchema());
}

/** `npm run reference`: writes the reference of metrics into docs/METRICS.md. */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { withReference } from "../../src/metrics/reference.ts";

const DOCUMENT = join(import.meta.dirname, "../../docs/METRICS.md");

await writeFile(DOCUMENT, withReference(await readFile(DOCUMENT, "utf8")));

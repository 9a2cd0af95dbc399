/** What the objects of an edge have stored, read from a copy of its files. */
import { copyFile, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";

const DATABASE = /\.sqlite$/;
/** The log in which the latest of a database may still be. */
const LOG = "-wal";
/** When an address last looked at its clock, and is to look again, whatever else happens. [LE6] */
const CLOCK = /^(?:seen_at_ms|scheduled_time)$/;
/** Of the runtime itself; when it is to wake an object is told by its list of alarms too. */
const OF_RUNTIME = "_cf_METADATA";

/** Each row of each table, and which alarms are set, of the objects of these classes: a line each, but no time of a clock. */
export async function storedRows(state: string, classes: readonly string[]): Promise<string> {
  const rows: string[] = [];
  const copy = await mkdtemp(join(tmpdir(), "ipshard-rows-"));
  try {
    for (const name of classes) {
      const folder = join(state, "edge", "storage", `ipshard-${name}`);
      const files = await readdir(folder);
      for (const file of files.filter((each) => DATABASE.test(each))) {
        await copyFile(join(folder, file), join(copy, file));
        await copyFile(join(folder, file + LOG), join(copy, file + LOG)).catch(() => {});
        rows.push(...rowsIn(join(copy, file)).map((row) => `${name} ${file} ${row}`));
        await rm(join(copy, file + LOG), { force: true });
      }
    }
  } finally {
    await rm(copy, { recursive: true, force: true });
  }
  return rows.join("\n");
}

function rowsIn(path: string): string[] {
  const database = new DatabaseSync(path);
  try {
    const tables = database.prepare("SELECT name FROM sqlite_master WHERE type = 'table'").all();
    return tables.flatMap(({ name }) => {
      if (name === OF_RUNTIME) return [];
      const all = database.prepare(`SELECT * FROM "${String(name)}"`);
      // Alarms are in nanoseconds.
      all.setReadBigInts(true);
      return all.all().map((row) => `${String(name)} ${told(row)}`);
    });
  } finally {
    database.close();
  }
}

function told(row: Readonly<Record<string, unknown>>): string {
  const members = Object.entries(row).filter(([name]) => !CLOCK.test(name));
  return members.map(([name, value]) => `${name}=${String(value)}`).join(" ");
}

/**
 * The contexts of this user: which edge a verb means, and as whom, when it is told neither. They hold tokens,
 * so the file is this user's alone, and one that others can read is refused. [OV2]
 */
import { randomUUID } from "node:crypto";
import { chmod, mkdir, rename, rm, stat, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { z } from "zod";
import { isName } from "../../core/selection.ts";
import { CommandFault } from "../../process/command-fault.ts";
import { readSmallFile } from "../../process/small-file.ts";

const contextSchema = z.strictObject({
  edge: z.url(),
  token: z.string().min(1),
  /** For `fetch`: an administrator's token sends nothing. */
  clientToken: z.string().min(1).optional(),
  /** Meant by verbs of pools that name none. */
  pool: z.string().optional(),
  allowPlainHttp: z.boolean().optional(),
});
const contextsSchema = z.strictObject({
  current: z.string().nullable(),
  contexts: z.record(z.string().refine(isName), contextSchema),
});

/** An edge, and a token for it. */
export type Context = z.infer<typeof contextSchema>;
/** All of them, and which one counts. */
export type Contexts = z.infer<typeof contextsSchema>;

/** Where they are: `$XDG_CONFIG_HOME/ipshard/contexts.json`, by default in `~/.config`. */
export function contextsFile(environment: NodeJS.ProcessEnv = process.env): string {
  const { XDG_CONFIG_HOME: given } = environment;
  // The standard says that a relative path does not count.
  const base = given?.startsWith("/") ? given : join(homedir(), ".config");
  return join(base, "ipshard", "contexts.json");
}

/** Reads them; none where there is no file. Throws `context-unusable`. */
export async function readContexts(file = contextsFile()): Promise<Contexts> {
  let text: string;
  try {
    const { mode } = await stat(file);
    if ((mode & 0o077) !== 0)
      throw unusable(`Others can read ${file}, which holds tokens. Run: chmod 600 ${file}`);
    text = await readSmallFile(file);
  } catch (fault) {
    const { code, message } = fault as NodeJS.ErrnoException;
    if (code === "ENOENT") return { current: null, contexts: {} };
    if (fault instanceof CommandFault) throw fault;
    throw unusable(`The contexts cannot be read: ${message}`, fault);
  }
  const read = contextsSchema.safeParse(parsedJson(text));
  if (read.success) return read.data;
  throw unusable(`${file} holds no contexts of ipshard. Move it away, and make them again: ipshard login`);
}

/** Puts these in place of what was there, whole or not at all. */
export async function writeContexts(contexts: Contexts, file = contextsFile()): Promise<void> {
  const draft = `${file}.${randomUUID()}`;
  try {
    await mkdir(dirname(file), { recursive: true, mode: 0o700 });
    await writeFile(draft, `${JSON.stringify(contexts, null, 2)}\n`, { mode: 0o600, flag: "wx" });
    // The mask of the user may have taken more away.
    await chmod(draft, 0o600);
    await rename(draft, file);
  } catch (fault) {
    throw unusable(`The contexts cannot be written: ${(fault as Error).message}`, fault);
  } finally {
    await rm(draft, { force: true });
  }
}

/** The context of this name, or the current one; null where there is none. Throws `context-unusable`. */
export function contextIn({ contexts, current }: Contexts, name: string | null): Context | null {
  const wanted = name ?? current;
  if (wanted === null) return null;
  if (Object.hasOwn(contexts, wanted)) return contexts[wanted]!;
  const known = Object.keys(contexts).toSorted().join(", ");
  throw unusable(`There is no context ${wanted}; there ${known === "" ? "is none" : `are: ${known}`}.`);
}

function unusable(message: string, cause?: unknown): CommandFault {
  return new CommandFault("context-unusable", message, cause);
}

function parsedJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

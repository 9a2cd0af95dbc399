/**
 * Removes one laboratory once its process is gone, however it went: by an interrupt from the
 * keyboard, which its programs get too, or by SIGKILL. It knows by the end of its input.
 *
 *     node caretaker.ts PREFIX DIRECTORY
 */
import { once } from "node:events";
import { rm } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { namespacesWith, removeNamespace } from "./namespaces.ts";

/** What a program began before its process died may still come about in this time. */
const LATECOMERS_MS = 300;

const [prefix, directory] = process.argv.slice(2) as [string, string];
process.stdin.resume();
await once(process.stdin, "close");
let names: string[];
do {
  names = namespacesWith(prefix);
  for (const name of names) removeNamespace(name);
  await delay(LATECOMERS_MS);
} while (names.length > 0);
// A program that dies may write a last word while its directory goes.
await rm(directory, { recursive: true, force: true, maxRetries: 10 });

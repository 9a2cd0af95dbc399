/** Whose work is bundled, and under which licence: each asks that its notice goes with every copy. [PK7] */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Inputs } from "./bundles.ts";

const PACKAGE = /^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//;

/** The notices of all packages that are among the inputs of a bundle. */
export function noticesOf(root: string, inputs: Inputs): string {
  const folders = new Set(Object.keys(inputs).flatMap((input) => PACKAGE.exec(input)?.[1] ?? []));
  const notices = [...folders].toSorted().map((folder) => noticeOf(join(root, folder)));
  return notices.join(`\n${"-".repeat(80)}\n\n`);
}

function noticeOf(folder: string): string {
  const { name, version, license } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as {
    name: string;
    version: string;
    license?: string;
  };
  const file = readdirSync(folder).find((found) => /^licen[cs]e/i.test(found));
  if (file === undefined && license === undefined) throw new Error(`${name} says nothing of its licence`);
  const text = file === undefined ? "" : readFileSync(join(folder, file), "utf8");
  return `${name} ${version} (${license ?? "see below"})\n\n${text.trim()}\n`;
}

/** What the files of deploy have as a comment, for who wants it: it must be right, too. */
import { expect } from "vitest";

/** Options with the part `snat` that stands among them as a comment. */
export function withSnat(options: string): string {
  const opened = options.replaceAll(/^( *)# (?=snat:$| {2})/gm, "$1");
  expect(opened).toMatch(/^ +snat:\n +- name: \w+\n +source: /m);
  return opened;
}

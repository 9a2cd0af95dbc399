/** The dashboard's files in a checkout: built when an edge is started, and only when they must be. */
import { readdir, readFile, stat, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { placePage } from "../../src/cli/edge/page-build.ts";
import { temporaryDirectory } from "./processes.ts";

test("[DA8] the page is built where it is missing or older than its sources, and left alone otherwise", async () => {
  const directory = join(await temporaryDirectory(), "page");
  const shell = join(directory, "index.html");
  const said: string[] = [];
  const place = () => placePage(directory, (sentence) => said.push(sentence));
  await place();
  expect(said).toEqual([]);
  const text = await readFile(shell, "utf8");
  const named = [...text.matchAll(/"\/dashboard\/(assets\/[^"]+)"/g)].map(([, name]) => name!);
  expect(named.length).toBeGreaterThan(0);
  for (const name of named) expect((await stat(join(directory, name))).size).toBeGreaterThan(0);
  // Nothing is written in it that its policy would not let run. [DA1]
  expect(text).not.toMatch(/<script(?![^>]* src=)|<style| style=| on[a-z]+=/);

  await writeFile(shell, "mine");
  await place();
  expect(await readFile(shell, "utf8")).toBe("mine");

  await writeFile(join(directory, "assets/former.js"), "");
  await utimes(shell, 1, 1);
  await place();
  expect(await readFile(shell, "utf8")).toBe(text);
  expect(await readdir(join(directory, "assets"))).not.toContain("former.js");
  expect(said).toEqual([]);
});

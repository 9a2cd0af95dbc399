/** Where the program that runs the edge comes from, and what is said where there is none that will do. */
import { mkdir, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import { expect, test } from "vitest";
import { workerdProgram } from "../../src/cli/edge/workerd-program.ts";
import { temporaryDirectory } from "./processes.ts";

/** A project in which workerd has this version; none for null. */
async function projectWith(version: string | null): Promise<ReturnType<typeof createRequire>> {
  const directory = await temporaryDirectory();
  if (version !== null) {
    const workerd = join(directory, "node_modules/workerd");
    await mkdir(workerd, { recursive: true });
    await writeFile(
      join(workerd, "package.json"),
      JSON.stringify({ name: "workerd", version, main: "main.js" }),
    );
    await writeFile(join(workerd, "main.js"), `exports.default = "/the/program";`);
  }
  return createRequire(join(directory, "index.js"));
}

test("[PK5] workerd is taken from beside the package, if it knows the Worker's compatibility date", async () => {
  const date = "2026-10-01";
  expect(workerdProgram(date, await projectWith("1.20261001.0"))).toBe("/the/program");
  expect(workerdProgram(date, await projectWith("1.20270101.3"))).toBe("/the/program");
  const old = await projectWith("1.20260930.0");
  expect(() => workerdProgram(date, old)).toThrow(/too old: it is 1\.20260930\.0.*from 2026-10-01 or later/);
  const none = await projectWith(null);
  expect(() => workerdProgram(date, none)).toThrow(expect.objectContaining({ code: "workerd-unusable" }));
});

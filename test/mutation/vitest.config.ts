/** The tests of one part alone, as `main.ts` names it, where they run otherwise too. */
import { defineConfig } from "vitest/config";
import root from "../../vitest.config.ts";
import { PARTS } from "./parts.ts";

const { MUTATION_PART: part = "" } = process.env;
const { tests, project: name } = PARTS[part]!;
const projects = root.test!.projects as { plugins?: []; test: { name: string } }[];
const { plugins = [], test } = projects.find((project) => project.test.name === name)!;

export default defineConfig({
  plugins,
  test: { ...test, include: [...tests], exclude: [] },
});

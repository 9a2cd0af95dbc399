/** The tests of one part alone, as `main.ts` names it. */
import { defineConfig } from "vitest/config";
import { PARTS } from "./parts.ts";

const { MUTATION_PART: part = "" } = process.env;

export default defineConfig({
  test: { include: [...PARTS[part]!.tests], testTimeout: 60_000, hookTimeout: 60_000 },
});

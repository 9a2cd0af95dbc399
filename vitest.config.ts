/** Tests that run in Node, and tests that run inside workerd. */
import { cloudflareTest } from "@cloudflare/vitest-plugin";
import { defineConfig } from "vitest/config";

const inWorkerd = ["test/durable-objects/**/*.test.ts", "test/worker/**/*.test.ts"];
const throughProcesses = ["test/e2e/**/*.test.ts"];

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: "node",
          include: ["test/**/*.test.ts"],
          exclude: [...inWorkerd, ...throughProcesses],
        },
      },
      {
        plugins: [
          cloudflareTest({
            wrangler: { configPath: "./wrangler.toml" },
          }),
        ],
        test: { name: "workerd", include: inWorkerd },
      },
      {
        test: {
          name: "e2e",
          include: throughProcesses,
          fileParallelism: false,
          testTimeout: 180_000,
          hookTimeout: 60_000,
        },
      },
    ],
  },
});

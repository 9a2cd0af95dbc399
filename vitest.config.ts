/** Tests that run in Node, and tests that run inside workerd. */
import { cloudflareTest } from "@cloudflare/vitest-plugin";
import { kCurrentWorker } from "miniflare";
import { mkdirSync } from "node:fs";
import { defineConfig } from "vitest/config";
import { lackingTests } from "./test/e2e/client-programs.ts";
import { generateKey } from "./src/wire/keys.ts";

// The edge's declaration names it, and tests of the Worker need no page.
mkdirSync(new URL("dist/dashboard", import.meta.url), { recursive: true });

const ofObjects = ["test/durable-objects/**/*.test.ts"];
const ofWorker = ["test/worker/**/*.test.ts"];
const throughProcesses = ["test/e2e/**/*.test.ts"];
const ofSimulation = ["test/simulation/**/*.test.ts"];
const ofModel = ["test/model/**/*.test.ts"];
const ofFuzz = ["test/fuzz/**/*.test.ts"];
const inLaboratory = ["test/lab/**/*.test.ts"];

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: "node",
          include: ["test/**/*.test.ts"],
          exclude: [
            ...ofObjects,
            ...ofWorker,
            ...throughProcesses,
            ...ofSimulation,
            ...ofModel,
            ...ofFuzz,
            ...inLaboratory,
          ],
          // What hangs is found all the same, and a busy machine is no fault.
          testTimeout: 60_000,
          hookTimeout: 180_000,
        },
      },
      {
        plugins: [
          cloudflareTest({
            wrangler: { configPath: "./wrangler.toml" },
            miniflare: {
              // What leaves the Worker for real comes back as the headers that were on the wire.
              outboundService: async (request: {
                headers: Iterable<[string, string]>;
                arrayBuffer: () => Promise<ArrayBuffer>;
              }) => {
                await request.arrayBuffer();
                return Response.json(Object.fromEntries(request.headers));
              },
              bindings: {
                ISSUER_KEYS: '{"keys":[]}',
                EDGE_KEY: JSON.stringify(await generateKey("edge")),
              },
              serviceBindings: {
                EGRESS: {
                  name: kCurrentWorker,
                  entrypoint: "Egress",
                  props: { pool: "bound", client: "shop" },
                },
                ANY_EGRESS: { name: kCurrentWorker, entrypoint: "Egress" },
              },
            },
          }),
        ],
        test: { name: "workerd", include: ofWorker, testTimeout: 30_000 },
      },
      {
        // The objects alone, behind a Worker that adds nothing.
        plugins: [
          cloudflareTest({
            main: "./test/durable-objects/bare-worker.ts",
            wrangler: { configPath: "./wrangler.toml" },
          }),
        ],
        test: { name: "durable-objects", include: ofObjects, testTimeout: 30_000 },
      },
      {
        test: {
          name: "e2e",
          include: throughProcesses,
          // Programs that are not here; `npm test` says which.
          exclude: lackingTests().map(({ name }) => `test/e2e/${name}.test.ts`),
          fileParallelism: false,
          testTimeout: 180_000,
          hookTimeout: 60_000,
        },
      },
      {
        // Computes for minutes, on every processor that is left to it.
        test: { name: "simulation", include: ofSimulation, fileParallelism: false, testTimeout: 60_000 },
      },
      {
        // Searches by spin; `npm run model` says where it is missing.
        test: { name: "model", include: ofModel, maxConcurrency: 2, testTimeout: 600_000 },
      },
      {
        // Real processes under fire, for a minute each.
        test: { name: "fuzz", include: ofFuzz, fileParallelism: false, hookTimeout: 60_000 },
      },
      {
        // A network of namespaces; `npm run lab` says where it cannot be.
        test: {
          name: "lab",
          include: inLaboratory,
          fileParallelism: false,
          testTimeout: 120_000,
          hookTimeout: 60_000,
        },
      },
    ],
  },
});

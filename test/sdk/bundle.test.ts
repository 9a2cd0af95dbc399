/** The SDK runs where `fetch` does: bundled for a browser, it needs no module of Node's. */
import { createContext, runInContext } from "node:vm";
import { build } from "esbuild";
import { expect, test } from "vitest";

const ENTRY = new URL("../../src/sdk/egress.ts", import.meta.url).pathname;

test("[CL5] the SDK bundles for a browser and imports nothing else", async () => {
  const { outputFiles, metafile, warnings } = await build({
    entryPoints: [ENTRY],
    bundle: true,
    write: false,
    metafile: true,
    format: "iife",
    globalName: "ipshard",
    platform: "browser",
    target: ["chrome120", "firefox120", "safari17"],
    minify: true,
  });
  expect(warnings).toEqual([]);
  expect(Object.values(metafile.outputs)[0]!.imports).toEqual([]);
  expect(Object.keys(metafile.inputs).filter((file) => /\b(jose|zod|hono)\b/.test(file))).toEqual([]);
  const { text } = outputFiles[0]!;

  // Only what a page has: no process, no Buffer, no require.
  const page = createContext({ fetch, Request, Response, Headers, URL, ReadableStream, TypeError });
  runInContext(
    `${text}; globalThis.egress = ipshard.createEgress({ endpoint: "https://e.example", token: "t",
    fetch: async (url, init) => new Response(init.headers.get("egress"), { headers: { "egress-host": "x" } }) });`,
    page,
  );
  const response: Response = await runInContext(
    `egress.fetch("http://o.example/", { egress: { pool: "eu" } })`,
    page,
  );
  expect(await response.text()).toBe('pool="eu"');
  expect(response.url).toBe("http://o.example/");
});

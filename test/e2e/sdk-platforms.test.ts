/**
 * The SDK as it is packed, in the bundles of strangers: on a page in Chromium, and in a Worker on
 * workerd, both through a real edge. Node has `test/packages`.
 */
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { build } from "esbuild";
import { convertV4MiniflareOptions, Miniflare } from "miniflare";
import { chromium } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  newProject,
  packBoth,
  type Project,
  removeProjects,
  temporaryProject,
} from "../packages/projects.ts";
import { pathOf } from "./client-programs.ts";
import { Cluster, EGRESS_IP } from "./cluster.ts";

/** What a caller asks for, on either platform. */
const CALLS = `
import { createEgress, EgressError, egressOf } from "NAME";
export async function call({ endpoint, token, origin }) {
  const egress = createEgress({ endpoint, token });
  const response = await egress.fetch(origin + "/seen", { method: "POST", body: "text", headers: { "x-mine": "1" } });
  const { address, port, method, headers } = await response.json();
  const fault = await egress.fetch("http://10.0.0.1/").catch((fault) => fault);
  const { opened, readable, writable } = egress.connect(new URL(origin).host);
  const connected = await opened.then(async () => {
    const writer = writable.getWriter();
    await writer.write(new TextEncoder().encode("GET /seen HTTP/1.0\\r\\nhost: o\\r\\n\\r\\n"));
    return new Response(readable).text();
  }, String);
  const refused = fault instanceof EgressError && [fault.code, fault.status];
  return { address, port, method, mine: headers["x-mine"], source: egressOf(response), refused, connected };
}`;
const SOURCES: Readonly<Record<"page" | "worker", string>> = {
  page: `${CALLS} globalThis.call = call;`,
  worker: `${CALLS} export default { async fetch(request) { return Response.json(await call(await request.json())); } };`,
};

let cluster: Cluster;
let project: Project;
let asked: { readonly endpoint: string; readonly token: string; readonly origin: string };

beforeAll(async () => {
  const { whole, sdk } = await packBoth(await temporaryProject());
  project = await newProject(process.execPath, whole, sdk);
  cluster = await Cluster.start({ hosts: ["h1"] });
  const token = await cluster.token("client", "tester");
  asked = { endpoint: cluster.edgeUrl, token, origin: new URL(cluster.originUrl("/")).origin };
}, 120_000);
afterAll(async () => {
  await cluster?.stop();
  await removeProjects();
});

/** As a stranger's bundler makes it, for a platform. */
async function bundle(kind: "page" | "worker", name: string): Promise<string> {
  const { outputFiles, warnings } = await build({
    stdin: { contents: SOURCES[kind].replace("NAME", name), resolveDir: project.directory },
    bundle: true,
    write: false,
    format: kind === "page" ? "iife" : "esm",
    ...(kind === "page" ? { platform: "browser" as const } : { conditions: ["workerd", "worker"] }),
  });
  expect(warnings).toEqual([]);
  return outputFiles[0]!.text;
}

const SENT = {
  address: EGRESS_IP,
  method: "POST",
  mine: ["1"],
  refused: ["destination-prohibited", 403],
};

describe.each(["ipshard", "@ipshard/sdk"])("%s", (name) => {
  test("[PK6] [CL5] on a page, in Chromium", async () => {
    const script = await bundle("page", name);
    const server = createServer((request, response) => {
      const isScript = request.url === "/app.js";
      response.setHeader("content-type", isScript ? "text/javascript" : "text/html");
      response.end(isScript ? script : '<!doctype html><script src="/app.js"></script>');
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
    const browser = await chromium.launch({ executablePath: pathOf("chromium")!, chromiumSandbox: false });
    try {
      const page = await browser.newPage();
      await page.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
      const said = await page.evaluate<Said, typeof asked>((them) => globalThis.call(them), asked);
      expect(said).toMatchObject(SENT);
      expect(said.source).toEqual({ ip: EGRESS_IP, port: said.port, host: "h1" });
      // Pages have no WebSocket that says why it was refused.
      expect(said.connected).toContain("openWebSocket is needed");
    } finally {
      await browser.close();
      server.close();
    }
  });

  test("[PK6] [CL10] in a Worker, on workerd", async () => {
    const script = await bundle("worker", name);
    const worker = new Miniflare(
      convertV4MiniflareOptions({ modules: true, script, compatibilityDate: "2026-10-01" }),
    );
    try {
      const answer = await worker.dispatchFetch("http://worker/", {
        method: "POST",
        body: JSON.stringify(asked),
      });
      const said = (await answer.json()) as Said;
      expect(said).toMatchObject(SENT);
      expect(said.source).toMatchObject({ ip: EGRESS_IP, port: said.port });
      expect(said.connected).toContain(`"address":"${EGRESS_IP}"`);
    } finally {
      await worker.dispose();
    }
  });
});

/** What came of the calls. */
interface Said {
  readonly port: number;
  readonly source: unknown;
  readonly connected: string;
}

declare global {
  /** On the page. */
  var call: (them: typeof asked) => Promise<Said>;
}

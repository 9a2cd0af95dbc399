/** `ipshard/testing` as it is packed: the contract on workerd, and projects of strangers that test with it. */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { inspect } from "node:util";
import { convertV4MiniflareOptions, Miniflare } from "miniflare";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type * as Testing from "../../src/testing/node/testing.ts";
import { holdToContract } from "../testing/egress-contract.ts";
import { standInSubject } from "../testing/stand-in-subject.ts";
import { lend, newProject, packBoth, type Project, removeProjects, temporaryProject } from "./projects.ts";

let project: Project;
let testing: typeof Testing;
const workers: Miniflare[] = [];

beforeAll(async () => {
  const { whole } = await packBoth(await temporaryProject());
  project = await newProject(process.execPath, whole);
  const installed = join(project.directory, "node_modules/ipshard/dist/testing/testing.js");
  testing = (await import(pathToFileURL(installed).href)) as typeof Testing;
});
afterAll(async () => {
  await Promise.all(workers.map((worker) => worker.dispose()));
  await removeProjects();
});

/** Miniflare with these Workers, the first of which is at the URL. */
async function run(...options: object[]): Promise<URL> {
  const worker = new Miniflare(convertV4MiniflareOptions({ workers: options as never }));
  workers.push(worker);
  return worker.ready;
}

describe("[TE1] [TE4] as a Worker, by its URL", () => {
  holdToContract(async () => {
    const url = (await run(testing.egressWorker())).origin;
    return { ...standInSubject(testing.egressControl(url), url, "stand-in-token"), isHeldBack: true };
  });
});

test("[TE4] bound as a service it needs no token, and is told through the binding", async () => {
  const caller = {
    name: "caller",
    modules: true,
    compatibilityDate: "2025-09-01",
    serviceBindings: {
      ANY: testing.egressBinding(),
      EGRESS: testing.egressBinding({ pool: "default" }),
    },
    script: `
      export default {
        async fetch(request, { ANY, EGRESS }) {
          const { url, init, any, command } = await request.json();
          if (command) return EGRESS.fetch("http://egress-stand-in.invalid/stand-in", { method: "POST", body: command });
          const answer = await (any ? ANY : EGRESS).fetch(url, init);
          const headers = Object.fromEntries(answer.headers);
          const decoder = new TextDecoder();
          let text = "";
          const reading = (async () => { for await (const piece of answer.body) text += decoder.decode(piece); })();
          const fault = await reading.then(() => null, String);
          return Response.json({ status: answer.status, headers, text, fault });
        },
      };`,
  };
  const destination = (request: Request): Promise<Response> | Response =>
    new Response(`the destination of ${request.url}`);
  const url = await run(
    caller,
    testing.egressWorker({ answers: { "http://a.test/": { body: "a" } }, destination }),
  );
  const ask = async (
    body: object,
  ): Promise<{ status: number; headers: Record<string, string>; text: string }> =>
    (await (await fetch(url, { method: "POST", body: JSON.stringify(body) })).json()) as never;
  const control = testing.egressControl({
    fetch: (at, init) => {
      expect(at).toBe("http://egress-stand-in.invalid/stand-in");
      return fetch(url, { method: "POST", body: JSON.stringify({ command: init.body }) });
    },
  });
  expect(await ask({ url: "http://a.test/" })).toMatchObject({
    status: 200,
    text: "a",
    headers: { "egress-host": expect.any(String) },
  });
  expect(await ask({ url: "http://b.test/x" })).toMatchObject({ text: "the destination of http://b.test/x" });
  const refusalOf = async (body: object): Promise<string> => JSON.parse((await ask(body)).text).code;
  expect(await refusalOf({ url: "http://a.test/", any: true })).toBe("pool-unknown");
  expect(await refusalOf({ url: "http://a.test/", init: { headers: { egress: "pool=other" } } })).toBe(
    "pool-denied",
  );
  await control.next(testing.TROUBLE.exhausted, testing.TROUBLE.cutOff);
  expect(await refusalOf({ url: "http://a.test/" })).toBe("port-block-exhausted");
  // Through a binding what came before the break is there.
  const { body, cutAfterBytes } = testing.TROUBLE.cutOff;
  const cut = await ask({ url: "http://a.test/" });
  expect(cut).toMatchObject({
    text: body.slice(0, cutAfterBytes),
    fault: expect.stringContaining("break off"),
  });
  expect((await control.calls()).length).toBe(6);
});

/** What a stranger has: a shop that orders through an egress. */
const SHOP = `
import { createEgress, EgressError } from "ipshard";
export async function order(options) {
  try {
    const response = await createEgress(options).fetch("https://api.example/orders", { method: "POST", body: "one" });
    return response.ok ? await response.text() : "refused by the shop";
  } catch (fault) {
    if (fault instanceof EgressError && fault.code === "port-block-exhausted") return "try again later";
    return fault instanceof EgressError ? fault.code : "broken off";
  }
}
`;

const CASES = `
  await control.answer("https://api.example/*", { status: 201, body: "ordered" });
  expect(await order(options)).toBe("ordered");
  expect(await control.calls()).toMatchObject([{ method: "POST", body: "one", source: { ip: expect.any(String) } }]);
  await control.next(TROUBLE.exhausted, TROUBLE.leaseLost, TROUBLE.denied, TROUBLE.cutOff);
  expect(await order(options)).toBe("try again later");
  expect(await order(options)).toBe("lease-lost");
  expect(await order(options)).toBe("destination-denied");
  expect(await order(options)).toBe("broken off");
  expect(await order(options)).toBe("ordered");
`;

const FILES: Readonly<Record<string, string>> = {
  "src/shop.js": SHOP,
  "src/index.js": `
import { order } from "./shop.js";
export default { async fetch(request, env) { return new Response(await order({ binding: env.EGRESS })); } };
`,
  "test/in-node.test.js": `
import { startEgress, TROUBLE } from "ipshard/testing";
import { afterAll, expect, test } from "vitest";
import { order } from "../src/shop.js";
const control = await startEgress();
afterAll(() => control.stop());
test("[TE4] orders", async () => {
  const options = { endpoint: control.url, token: control.token };
  ${CASES}
});
`,
  "test/in-workerd.test.js": `
import { env, exports } from "cloudflare:workers";
import { egressControl, TROUBLE } from "ipshard/testing";
import { expect, test } from "vitest";
import { order } from "../src/shop.js";
test("[TE4] orders", async () => {
  const control = egressControl(env.EGRESS);
  const options = { binding: env.EGRESS };
  ${CASES}
  expect(await (await exports.default.fetch("http://shop/")).text()).toBe("ordered");
});
`,
  "vitest.config.js": `
import { cloudflareTest } from "@cloudflare/vitest-plugin";
import { egressForVitest } from "ipshard/testing";
import { defineConfig } from "vitest/config";
export default defineConfig({
  test: {
    projects: [
      { test: { name: "node", include: ["test/in-node.test.js"] } },
      {
        plugins: [cloudflareTest({ main: "./src/index.js", miniflare: { compatibilityDate: "2026-10-01", ...egressForVitest() } })],
        test: { name: "workerd", include: ["test/in-workerd.test.js"] },
      },
    ],
  },
});
`,
};

test("[TE4] a project of its own tests with it under vitest, in Node and in workerd", async () => {
  await lend(project, "vitest", "@cloudflare/vitest-plugin");
  for (const folder of ["src", "test"]) await mkdir(join(project.directory, folder), { recursive: true });
  for (const [file, text] of Object.entries(FILES)) await writeFile(join(project.directory, file), text);
  const args = ["node_modules/vitest/vitest.mjs", "run", "--reporter=json", "--outputFile=report.json"];
  const ran = await project.run("node", args).catch((fault: object) => fault);
  const report = await readFile(join(project.directory, "report.json"), "utf8").catch(() => inspect(ran));
  expect(report).toMatch(/"numPassedTests":2,/);
  expect(report).toMatch(/"success":true/);
});

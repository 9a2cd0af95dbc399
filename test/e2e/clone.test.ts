/** What README.md says comes first, done in a fresh clone by npm itself. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { makeFreshClone } from "../runner/fresh-clone.ts";
import { freePorts } from "../cli/processes.ts";
import { until } from "./cluster.ts";
import { personEnvironment } from "../runner/person-environment.ts";

let directory: string;
let clone: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "ipshard-clone-"));
  clone = join(directory, "clone");
  await makeFreshClone(clone);
});
afterAll(() => rm(directory, { recursive: true, force: true }));

test("npm start, as the README has it, and a request that its capture shows", async () => {
  const readme = await readFile(join(clone, "README.md"), "utf8");
  expect(readme).toContain("```sh\nnpm ci && npm start\n```");
  expect(readme).toContain("`npm start -- --port 9000`");
  const port = await freePorts();
  const env = {
    ...personEnvironment(),
    PATH: `${dirname(process.execPath)}:${process.env["PATH"]}`,
    NO_COLOR: "1",
  };
  const child = spawn("npm", ["start", "--", "--port", String(port)], {
    cwd: clone,
    env,
    detached: true,
    stdio: ["ignore", "pipe", "pipe"],
  });
  const exited = once(child, "exit");
  let said = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (chunk: Buffer) => {
      said += chunk.toString();
    });
  }
  try {
    await until("it runs", () => {
      assert(child.exitCode === null, said);
      assert(said.includes("Ctrl-C ends it all."), said);
      return true;
    });
    const [, origin] = /Sample origin: (\S+)/.exec(said) ?? [];
    const token = await readFile(join(clone, ".ipshard/tokens/client"), "utf8");
    const headers = { "egress-authorization": `Bearer ${token.trim()}` };
    const answer = await fetch(`http://127.0.0.1:${port}/v1/fetch?url=${origin}/`, { headers });
    expect(answer.status).toBe(200);
    const left = {
      address: answer.headers.get("egress-ip"),
      port: Number(answer.headers.get("egress-port")),
    };
    expect(await answer.json()).toMatchObject({ ...left, method: "GET", path: "/" });
    expect(left.address).toBe("127.0.0.10");
  } finally {
    // As a terminal's Ctrl-C does.
    process.kill(-child.pid!, "SIGINT");
    await exited;
  }
});

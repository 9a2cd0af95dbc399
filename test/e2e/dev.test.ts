/** `npm run dev` of README.md in a clone that nobody has run anything in, and the Worker of the examples beside it. */
import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { cp, mkdtemp, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { refuseIfTaken } from "../../src/cli/supervision/addresses.ts";
import { PORT_COUNT } from "../../src/cli/one-machine/run.ts";
import { freePort, until } from "./cluster.ts";
import { personEnvironment } from "../runner/person-environment.ts";

const ROOT = join(import.meta.dirname, "../..");
const run = promisify(execFile);

let clone: string;
beforeAll(async () => {
  clone = await mkdtemp(join(tmpdir(), "ipshard-dev-"));
  const files = ["wrangler.toml", "package.json", "tsconfig.base.json", ".gitignore"];
  for (const name of ["src", "durable-objects", "examples", ...files]) {
    await cp(join(ROOT, name), join(clone, name), { recursive: true });
  }
  await symlink(join(ROOT, "node_modules"), join(clone, "node_modules"));
  await run("git", ["init", "-q", clone]);
});
afterAll(() => rm(clone, { recursive: true, force: true }));

/** The first of as many ports in a row as `npm run dev` takes. */
async function freePorts(): Promise<number> {
  for (;;) {
    const first = 20_000 + Math.floor(Math.random() * 10_000);
    const places = Array.from({ length: PORT_COUNT }, (_, offset) => first + offset).flatMap((port) =>
      ["127.0.0.1", "127.0.0.20"].map((host) => ({ host, port, purpose: "" })),
    );
    const isFree = await refuseIfTaken(places, "").then(
      () => true,
      () => false,
    );
    if (isFree) return first;
  }
}

interface Started {
  readonly said: () => string;
  /** Throws if it has ended. */
  readonly isRunning: () => true;
  readonly stop: () => Promise<void>;
}

/** Starts what goes on until it is stopped; Workers of this clone find each other, and no others. */
function start(command: string, args: readonly string[], directory: string): Started {
  const env = {
    ...personEnvironment(),
    WRANGLER_REGISTRY_PATH: join(clone, ".wrangler/registry"),
    WRANGLER_SEND_METRICS: "false",
    CLOUDFLARE_CF_FETCH_ENABLED: "false",
  };
  const child = spawn(command, args, {
    cwd: directory,
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
  return {
    said: () => said,
    isRunning: () => {
      assert.equal(child.exitCode, null, said);
      return true;
    },
    stop: async () => {
      if (child.exitCode === null) process.kill(-child.pid!, "SIGTERM");
      await exited;
    },
  };
}

test("[DP2] [DA8] a request leaves through an edge on wrangler dev, whose keys git does not see", async () => {
  const readme = await readFile(join(ROOT, "README.md"), "utf8");
  expect(readme).toMatch(/^```sh\nnpm run dev\n```$/m);
  await writeFile(join(clone, ".dev.vars"), "EDGE_KEY='of an earlier time'\nMINE=stays\n", { mode: 0o644 });
  const port = await freePorts();
  const dev = start("npm", ["run", "dev", "--", "--port", String(port)], clone);
  try {
    const isThere = (): boolean => dev.isRunning() && dev.said().includes("Ctrl-C ends it all.");
    // The page is built first, by another program.
    await until("everything runs", isThere, 60_000);
    const command = dev
      .said()
      .split("\n")
      .find((line) => line.trim().startsWith("curl -i"));
    assert(command);
    const { stdout } = await run("sh", ["-c", command]);
    expect(stdout).toMatch(/^HTTP\/1\.1 200 OK\r\n[^]*egress-ip: 127\.0\.0\.10\r\n[^]*"path":"\/hello"/);
    const page = await fetch(`http://127.0.0.1:${port}/dashboard`);
    expect([page.status, await page.text()]).toEqual([200, expect.stringContaining("/dashboard/assets/")]);
    const log = await readFile(join(clone, ".ipshard/dev/logs/edge.log"), "utf8");
    expect(log).toMatch(/GET \/v1\/fetch.* 200 OK/);

    expect((await stat(join(clone, ".dev.vars"))).mode & 0o777).toBe(0o600);
    const vars = (await readFile(join(clone, ".dev.vars"), "utf8")).trimEnd().split("\n");
    expect(vars.map((line) => line.split("=")[0])).toEqual(["MINE", "ISSUER_KEYS", "EDGE_KEY"]);
    expect(vars[2]).toMatch(/^EDGE_KEY='\{.*"d":.*\}'$/);
    const { stdout: seen } = await run("git", ["status", "--short", "-uall"], { cwd: clone });
    expect(seen).toContain("wrangler.toml");
    expect(seen).not.toMatch(/\.ipshard|\.dev\.vars|\.wrangler/);

    await askPartner(`http://127.0.0.20:${port + 3}`);
  } finally {
    await dev.stop();
  }
});

/** The Worker of the example, bound to the edge that runs. */
async function askPartner(partner: string): Promise<void> {
  const directory = join(clone, "examples/worker-partner-api");
  await writeFile(join(directory, ".dev.vars"), "PARTNER_KEY=secret\n");
  const port = await freePort();
  const wrangler = join(ROOT, "node_modules/wrangler/bin/wrangler.js");
  const args = ["dev", "--port", String(port), "--inspector-port", "0", "--var", `PARTNER:${partner}`];
  const shop = start(process.execPath, [wrangler, ...args], directory);
  try {
    await until("the shop has its orders by the binding", async () => {
      const response = shop.isRunning() && (await fetch(`http://127.0.0.1:${port}/?customer=ada`));
      assert.equal(response.status, 200, shop.said());
      expect(await response.json()).toEqual({
        orders: expect.objectContaining({ address: "127.0.0.10", path: "/v1/orders?customer=ada" }),
        askedFrom: "127.0.0.10",
      });
      return true;
    });
  } finally {
    await shop.stop();
  }
}

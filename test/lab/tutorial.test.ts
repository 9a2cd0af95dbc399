/** docs/TUTORIAL.md, carried out as it stands there: its commands, in one shell, in a clone in which nothing was kept yet. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { makeFreshClone } from "../runner/fresh-clone.ts";
import { personEnvironment } from "../runner/person-environment.ts";

const ROOT = join(import.meta.dirname, "../..");
const SHARED = "192.0.2.1";
/** Where one part of the document ends in what its commands print, and the next begins. */
const MARK = "##### ";
const run = promisify(execFile);

let directory: string;
/** What was printed under each heading, both streams as a terminal shows them. */
const printed = new Map<string, string>();

/** The document's commands, each part behind a mark of its own. */
async function script(): Promise<string> {
  const text = await readFile(join(ROOT, "docs/TUTORIAL.md"), "utf8");
  const blocks = [...text.matchAll(/^```(\w*) ?(\w*)\n([^]*?)^```$/gm)];
  // What is said outside of the shell is done by this test: it makes the shell, and ends it.
  const outside = blocks.filter(([, , where]) => where === "outside").map(([, , , commands]) => commands!);
  expect(outside[0]).toContain("npm ci\nsudo unshare --net --mount --pid --fork --mount-proc bash\n");
  expect(outside).toHaveLength(2);
  const parts = text.split(/^## /m).slice(1);
  return parts
    .map((part) => {
      const commands = Array.from(part.matchAll(/^```sh\n([^]*?)^```$/gm), ([, block]) => block!);
      return `echo '${MARK}${part.split("\n")[0]!.slice(0, 1)}'\n${commands.join("")}`;
    })
    .join("");
}

/** The programs' own logs, for whoever looks for why. */
async function logsIn(folder: string): Promise<string> {
  const found = await readdir(folder, { recursive: true }).catch(() => []);
  const names = found.filter((name) => name.endsWith(".log"));
  const texts = await Promise.all(names.map((name) => readFile(join(folder, name), "utf8")));
  return texts.map((text, at) => `${names[at]}:\n${text.slice(-2_000)}`).join("\n");
}

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "ipshard-tutorial-"));
  const clone = join(directory, "clone");
  await makeFreshClone(clone);
  const tools = join(directory, "tools");
  await mkdir(tools);
  // npm would look for the package first, each time.
  const npx = `#!/bin/sh\nshift; exec '${process.execPath}' '${clone}/src/cli/main.ts' "$@"\n`;
  await writeFile(join(tools, "npx"), npx, { mode: 0o755 });
  const file = join(directory, "commands.sh");
  await writeFile(file, `exec 2>&1\n${await script()}`);
  const shell = ["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "bash", "-e", file];
  const env = {
    ...personEnvironment(),
    PATH: `${tools}:${dirname(process.execPath)}:${process.env["PATH"]}`,
    XDG_CONFIG_HOME: join(directory, "config"),
    NO_COLOR: "1",
  };
  try {
    const { stdout } = await run("unshare", shell, {
      cwd: clone,
      env,
      timeout: 150_000,
      killSignal: "SIGKILL",
    });
    for (const part of stdout.split(MARK).slice(1)) printed.set(part.slice(0, 1), part.slice(2));
  } catch (fault) {
    const { stdout = "", message } = fault as { stdout?: string; message: string };
    throw new Error(`${message}\n${stdout}\n${await logsIn(join(clone, "tutorial"))}`, { cause: fault });
  }
}, 180_000);
afterAll(() => rm(directory, { recursive: true, force: true }));

function under(part: number): string {
  const text = printed.get(String(part));
  assert(text !== undefined, `part ${part} was reached`);
  return text;
}

interface Request {
  readonly host: string;
  readonly port: number;
}

/** Each request as its host told of it, which must be what the origin saw. */
function requestsIn(text: string): Request[] {
  const line = /^Left from (\S+) port (\d+), by (h\d)\.\nyou are (\S+), port (\d+)$/gm;
  return Array.from(text.matchAll(line), ([, from, port, host, seenAddress, seenPort]) => {
    expect([from, seenAddress, seenPort]).toEqual([SHARED, SHARED, port]);
    return { host: host!, port: Number(port) };
  });
}

function leasesIn(text: string): { first: number; last: number; host: string }[] {
  return Array.from(
    text.matchAll(/^192\.0\.2\.1 +(\d+)-(\d+) +(h\d) +leased /gm),
    ([, first, last, host]) => ({
      first: Number(first),
      last: Number(last),
      host: host!,
    }),
  );
}

test("three namespaces hold ports of one address", () => {
  const hosts = leasesIn(under(4)).map(({ host }) => host);
  expect([...new Set(hosts)].toSorted()).toEqual(["h1", "h2", "h3"]);
});

test("the origin sees the one address, and ports of the host that sent", () => {
  const leases = leasesIn(under(4));
  const requests = requestsIn(under(5));
  expect(requests).toHaveLength(4);
  for (const { host, port } of requests) {
    const block = leases.find(({ first, last }) => first <= port && port <= last);
    // A host may have grown since the list was printed.
    expect(block?.host ?? host).toBe(host);
  }
});

test("who had a port is told", () => {
  expect(under(6)).toMatch(/^192\.0\.2\.1:\d+ at \S+: host h[123] of pool eu, by lease \d+ of ports \d+-\d+/);
});

test("a drained host gets nothing new, and is resumed", () => {
  expect(under(7)).toContain("h1: drained\n");
  const hosts = requestsIn(under(7)).map(({ host }) => host);
  expect(hosts).toHaveLength(2);
  expect(hosts).not.toContain("h1");
  expect(under(7)).toMatch(/^h1 +serving /m);
});

/** The session with nft in nft's own language, in a network namespace of its own. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from "vitest";
import { NftSession } from "../../src/linux/nft-session.ts";
import { parseListing } from "../../src/linux/nftables/listing.ts";
import { addNamespace, inside, newPrefix, removeNamespace } from "./namespaces.ts";

const TIMEOUT = { timeout: 30_000 };
const NAMESPACE = `${newPrefix()}nft`;
const NFT = inside(NAMESPACE, ["nft"]).flat();

let session: NftSession;

beforeAll(() => addNamespace(NAMESPACE));

beforeEach(() => {
  session = new NftSession(NFT);
});

afterEach(() => session.close());

afterAll(() => removeNamespace(NAMESPACE));

async function elements(): Promise<unknown[]> {
  const listing = await session.list(["list", "set", "inet", "t", "ports"]);
  return parseListing(listing!).flatMap(({ set }) => (set?.["elem"] as unknown[] | undefined) ?? []);
}

/** Many enough elements that the line is long. */
function portsText(first: number, count: number): string {
  return Array.from({ length: count }, (_, at) => first + at).join(", ");
}

const DECLARATION =
  "add table inet t; flush table inet t; add set inet t ports { type inet_service; }; flush set inet t ports";

test.each([
  { name: "short", count: 3 },
  { name: "long", count: 4000 },
])("statements of a $name line are one transaction", async ({ count }) => {
  const line = `${DECLARATION}; add element inet t ports { ${portsText(1, count)} }`;
  expect(line.length > 8192).toBe(count === 4000);
  await session.run(line);
  expect(await elements()).toHaveLength(count);
  const fault = { code: "transaction-refused", message: expect.stringContaining("No such file") as string };
  await expect(
    session.run(
      `flush set inet t ports; add element inet t ports { ${portsText(1, count)} }; delete chain inet t none`,
    ),
  ).rejects.toMatchObject(fault);
  expect(await elements()).toHaveLength(count);
});

test("rules and chains with braces and names in quotes are understood in one line", async () => {
  await session.run(
    `${DECLARATION}; add chain inet t out { type filter hook postrouting priority 300; policy accept; }; ` +
      `add rule inet t out iifname { "a0", "b0" } tcp sport @ports counter drop`,
  );
  const listing = parseListing((await session.list(["list", "chain", "inet", "t", "out"]))!);
  expect(listing.flatMap(({ rule }) => rule ?? [])).toHaveLength(1);
});

test("what is no statement is refused in nft's words, and the next transaction is none the worse", async () => {
  await session.run(DECLARATION);
  await expect(session.run("add nonsense inet t")).rejects.toMatchObject({
    code: "transaction-refused",
    message: expect.stringContaining("syntax error") as string,
  });
  await session.run("add element inet t ports { 7 }");
  expect(await elements()).toEqual([7]);
});

test("transactions asked at the same time are carried out in turn, and a fault is of its own", async () => {
  await session.run(DECLARATION);
  const asked = Array.from({ length: 40 }, (_, at) =>
    session.run(at % 4 === 0 ? "delete chain inet t none" : `add element inet t ports { ${at} }`),
  );
  const outcomes = (await Promise.allSettled(asked)).map(({ status }) => status);
  expect(outcomes).toEqual(asked.map((_, at) => (at % 4 === 0 ? "rejected" : "fulfilled")));
  expect(await elements()).toHaveLength(30);
});

test("a program that is not there is named", async () => {
  const missing = new NftSession(["no-such-nft"]);
  await expect(missing.run(DECLARATION)).rejects.toMatchObject({
    code: "command-missing",
    message: "the program no-such-nft is not installed",
  });
});

test.each(["SIGKILL", "SIGTERM", "end"] as const)("no nft outlives its owner: %s", async (way) => {
  const owner = spawn(...inside(NAMESPACE, [process.execPath, join(import.meta.dirname, "nft-owner.ts")]), {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const ended = once(owner, "close");
  await once(owner.stdout, "data");
  const [child] = await childrenOf(owner.pid!);
  expect(child).toBeDefined();
  if (way === "end") owner.stdin.end();
  else owner.kill(way);
  await ended;
  await vi.waitUntil(async () => !(await isRunning(child!)), TIMEOUT);
});

async function childrenOf(pid: number): Promise<number[]> {
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name)).map(Number);
  const parents = await Promise.all(pids.map(parentOf));
  return pids.filter((_, at) => parents[at] === pid);
}

/** Null of a process that is no more. */
async function parentOf(pid: number): Promise<number | null> {
  const fields = await statOf(pid);
  return fields === null ? null : Number(fields[1]);
}

async function isRunning(pid: number): Promise<boolean> {
  const fields = await statOf(pid);
  return fields !== null && fields[0] !== "Z";
}

/** From the state on; null of a process that is no more. */
async function statOf(pid: number): Promise<string[] | null> {
  try {
    const text = await readFile(`/proc/${pid}/stat`, "utf8");
    return text.slice(text.lastIndexOf(")") + 2).split(" ");
  } catch {
    return null;
  }
}

/** A host's copy of its pool's policy: fetched by its version, kept, and not given up for an older one. */
import { once } from "node:events";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { beforeEach, expect, onTestFinished, test } from "vitest";
import { DEFAULT_POOL_POLICY, type PoolPolicy } from "../../src/core/pool-policy.ts";
import { readPolicy, writtenPolicy } from "../../src/link/kept-policy.ts";
import { PolicyCopy, type PolicyCopyOptions } from "../../src/link/policy-copy.ts";
import { recordingLog, until } from "./loopback-edge.ts";

let edge: URL;
let asked: { path: string; authorization: string | undefined }[];
let answer: (response: ServerResponse) => void;

beforeEach(async () => {
  asked = [];
  const server = createServer((request, response) => {
    asked.push({ path: request.url!, authorization: request.headers.authorization });
    answer(response);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  edge = new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  onTestFinished(() => {
    server.close();
    server.closeAllConnections();
  });
});

function policy(version: number): PoolPolicy {
  return { ...DEFAULT_POOL_POLICY, version, special: [`10.${version}.0.0/16`] };
}

function says(body: unknown, status = 200) {
  return (response: ServerResponse): void => {
    response.writeHead(status).end(typeof body === "string" ? body : JSON.stringify(body));
  };
}

function copyOf(options: Partial<PolicyCopyOptions> = {}) {
  const [used, kept]: [PoolPolicy[], PoolPolicy[]] = [[], []];
  const { log, lines } = recordingLog();
  const copy = new PolicyCopy({
    edge,
    pool: "eu",
    token: async () => "the-token",
    kept: null,
    keep: (one) => kept.push(one),
    use: (one) => used.push(one),
    log,
    spreadMs: 5,
    ...options,
  });
  onTestFinished(() => copy.stop());
  return { copy, used, kept, lines };
}

test("[PY3] a host fetches the version that its pool tells, with its own token, and keeps it", async () => {
  answer = says(policy(7));
  const { copy, used, kept } = copyOf();
  expect(copy.version).toBeNull();
  copy.told(7);
  await until("it is used", () => used.length === 1);
  expect(asked).toEqual([{ path: "/v1/pools/eu/policy?version=7", authorization: "Bearer the-token" }]);
  expect([used, kept, copy.version]).toEqual([[policy(7)], [policy(7)], 7]);
  copy.told(7);
  answer = says(policy(8));
  copy.told(8);
  await until("the next is used", () => used.length === 2);
  expect(asked).toHaveLength(2);
});

test("[PY6] a pool that has no policy is asked for none, and that is kept as well", () => {
  for (const version of [0, undefined]) {
    const { copy, used, kept } = copyOf();
    copy.told(version);
    expect([used, kept]).toEqual([[DEFAULT_POOL_POLICY], [DEFAULT_POOL_POLICY]]);
    expect(copy.version).toBe(0);
  }
  expect(asked).toEqual([]);
});

test("[PY6] what was kept is used from the start, and until what is newer has come", async () => {
  answer = says({}, 503);
  const { copy, used, kept, lines } = copyOf({ kept: policy(7) });
  expect(used).toEqual([policy(7)]);
  copy.told(8);
  await until("it has failed twice", () => asked.length >= 2);
  expect([used.length, copy.version]).toEqual([1, 7]);
  answer = says(policy(9));
  await until("it is used", () => copy.version === 9);
  expect(kept).toEqual([policy(9)]);
  // However often it fails for one reason.
  expect(lines.filter(({ msg }) => msg.includes("could not be fetched"))).toHaveLength(1);
});

test.each([
  ["is no JSON", "<html>"],
  ["has a member that is not known", { ...policy(8), quota: 1 }],
  ["is of an older version", policy(6)],
  ["is far too long", " ".repeat(5 * 1024 * 1024)],
])("[PY3] [PY4] what %s is not used, and asked for again", async (_what, body) => {
  answer = says(body);
  const { copy, used } = copyOf({ kept: policy(7) });
  copy.told(8);
  await until("it was asked again", () => asked.length >= 2);
  expect([used.length, copy.version]).toEqual([1, 7]);
  answer = says(policy(8));
  await until("it is used", () => copy.version === 8);
});

test("[PY8] an edge that was restored from a backup takes back nothing, until the policy is changed again", async () => {
  const { copy, used, lines } = copyOf({ kept: policy(7) });
  for (const version of [6, 6, 0, undefined]) copy.told(version);
  expect([asked.length, used.length, copy.version]).toEqual([0, 1, 7]);
  // Once for each version.
  expect(lines.filter(({ msg }) => msg.includes("backup"))).toHaveLength(2);
  answer = says(policy(9));
  copy.told(9);
  await until("it is used", () => copy.version === 9);
});

test("[PY3] a policy that changes while it is fetched is fetched once more", async () => {
  const waiting: ServerResponse[] = [];
  answer = (response) => waiting.push(response);
  const { copy } = copyOf();
  copy.told(7);
  await until("it was asked", () => waiting.length === 1);
  for (const version of [8, 9]) copy.told(version);
  says(policy(7))(waiting[0]!);
  await until("it was asked again", () => waiting.length === 2);
  expect(copy.version).toBe(7);
  says(policy(9))(waiting[1]!);
  await until("the last is used", () => copy.version === 9);
  expect(asked.map(({ path }) => path.split("=")[1])).toEqual(["7", "9"]);
});

test("[PY6] a kept policy with any one bit changed counts as none", () => {
  const kept = { pool: "eu", policy: policy(7) };
  const text = writtenPolicy(kept);
  expect(readPolicy(text)).toEqual(kept);
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length; at += 1) {
    for (let bit = 0; bit < 8; bit += 1) {
      bytes[at]! ^= 1 << bit;
      const read = readPolicy(bytes.toString("latin1"));
      // JSON spells a few things in more than one way; what is read is then the same.
      if (read !== null) expect(read).toEqual(kept);
      bytes[at]! ^= 1 << bit;
    }
  }
  for (const cut of [0, 1, text.length - 1]) expect(readPolicy(text.slice(0, cut))).toBeNull();
});

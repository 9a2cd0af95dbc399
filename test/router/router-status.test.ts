/** What a router tells of itself, and to whom. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import type { Identity } from "../../src/core/identity.ts";
import { EdgeToken } from "../../src/link/edge-token.ts";
import { StateDirectory } from "../../src/link/state-directory.ts";
import type { SteeringKernel } from "../../src/router/steering/steering-kernel.ts";
import { dropCountsOf } from "../../src/router/rules/steering-snapshot.ts";
import { Router } from "../../src/router/router.ts";
import { generateKey, publicPart } from "../../src/wire/keys.ts";
import { signToken } from "../../src/wire/tokens.ts";
import { freePort } from "../e2e/cluster.ts";
import { LoopbackEdge, recordingLog } from "../link/loopback-edge.ts";
import { CONFIG } from "./steering-fixture.ts";

/** It only counts: the pool of these tests steers nothing. */
const KERNEL: SteeringKernel = {
  repair: async () => ({ removedCount: 0, addedCount: 0, unreachable: [] }),
  apply: async () => {},
  isInForce: async () => true,
  counts: async () => dropCountsOf([]),
  remove: async () => {},
  close: async () => {},
};

test("[ID6] a router shows its status to administrators of its pool only", async () => {
  const directory = await mkdtemp(join(tmpdir(), "ipshard-router-"));
  const edge = await LoopbackEdge.start();
  edge.refusal = { code: "control-plane-unavailable" };
  const issuer = await generateKey("issuer");
  edge.keys = { keys: [publicPart(issuer)] };
  const sign = (role: Identity["role"], pools: readonly string[]): Promise<string> =>
    signToken({ role, subject: "r1", pools, expiresAtMs: Date.now() + 3_600_000 }, issuer);
  const tokenFile = join(directory, "r1.token");
  await writeFile(tokenFile, await sign("router", ["main"]));
  const port = await freePort();
  const state = await StateDirectory.open(join(directory, "state"), () => {});
  const options = {
    edge: edge.url,
    pool: "main",
    tokenFile,
    stateDirectory: directory,
    whenCopied: "refuse",
    listen: { host: "127.0.0.1", port },
    config: CONFIG,
    metrics: null,
    steering: "auto",
    isDryRun: false,
    isRemovedAtEnd: false,
  } as const;
  const token = await EdgeToken.open(tokenFile, "router");
  const router = new Router(options, token, state, KERNEL, recordingLog().log);
  onTestFinished(async () => {
    await router.end();
    await edge.stop();
    await rm(directory, { recursive: true });
  });
  await router.start();

  const ask = async (bearer: string | null): Promise<string> => {
    const headers = bearer === null ? {} : { authorization: `Bearer ${bearer}` };
    const reply = await fetch(`http://127.0.0.1:${port}/v1/status`, { headers });
    const { code, router: name } = (await reply.json()) as { code?: string; router?: string };
    return `${reply.status} ${code ?? name}`;
  };
  expect(await ask(null)).toBe("401 token-missing");
  expect(await ask(await sign("client", ["main"]))).toBe("403 role-denied");
  for (const others of [[], ["other"], ["mai", "main2"]]) {
    expect(await ask(await sign("admin", others))).toBe("403 pool-denied");
  }
  for (const pools of [["main"], ["other", "main"], ["*"]]) {
    expect(await ask(await sign("admin", pools))).toBe("200 r1");
  }
});

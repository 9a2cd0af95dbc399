/** What is run now, on the state directories that earlier versions have left. */
import { execFile } from "node:child_process";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { promisify } from "node:util";
import { afterEach, expect, test } from "vitest";
import { ADDRESS_MIGRATIONS } from "../../durable-objects/address/address-schema.ts";
import { CATALOGUE_MIGRATIONS } from "../../durable-objects/catalogue/catalogue-schema.ts";
import { POOL_MIGRATIONS } from "../../durable-objects/pool/pool-schema.ts";
import { REGISTER_MIGRATIONS } from "../../durable-objects/register/register-schema.ts";
import { Cluster, EGRESS_IP, POOL } from "./cluster.ts";

const STATES = join(import.meta.dirname, "earlier-states");
const NOW = {
  EgressIp: ADDRESS_MIGRATIONS.length,
  EgressPool: POOL_MIGRATIONS.length,
  PoolCatalogue: CATALOGUE_MIGRATIONS.length,
  AccessRegister: REGISTER_MIGRATIONS.length,
};
const run = promisify(execFile);

let cluster: Cluster | undefined;
afterEach(async () => {
  await cluster?.stop();
  cluster = undefined;
});

/** The versions of the tables that are stored there, by class. */
async function storedVersions(directory: string): Promise<Record<string, number>> {
  const storage = join(directory, "edge/storage");
  const versions: [string, number][] = [];
  for (const folder of await readdir(storage)) {
    for (const file of await readdir(join(storage, folder))) {
      if (!/^[0-9a-f]{64}\.sqlite$/.test(file)) continue;
      // Not read-only: what an edge has just written may be in the log beside it still.
      const database = new DatabaseSync(join(storage, folder, file));
      const row = database.prepare("SELECT version FROM schema_version").get();
      database.close();
      versions.push([folder.replace("ipshard-", ""), Number(row!["version"])]);
    }
  }
  return Object.fromEntries(versions);
}

async function askWith(token: string): Promise<Response> {
  const headers = { "egress-authorization": `Bearer ${token.trim()}` };
  return fetch(cluster!.through(cluster!.originUrl("/seen")), { headers });
}

/** Starts edge and host on what that version left, and sends a request by a token of that time. */
async function serveOn(version: string, before: Readonly<Record<string, number>>): Promise<void> {
  cluster = await Cluster.start({
    hosts: ["h1"],
    // It is another machine, or another day of the same; the addresses are on loopback.
    agentArgs: ["--copied-state=trust", "--machine=off"],
    stateBefore: async (directory) => {
      await run("tar", ["-C", directory, "-xzf", join(STATES, `${version}.tar.gz`)]);
      expect(await storedVersions(directory)).toEqual(before);
    },
  });
  const answer = await askWith(await readFile(join(cluster.directory, "kept.token"), "utf8"));
  expect(await answer.json()).toMatchObject({ address: EGRESS_IP });
  expect(answer.headers.get("egress-host")).toBe("h1");
  const pool = await cluster.api.getPool({ pool: POOL });
  expect(pool.settings.quarantineMs).toBe(61_000);
  expect(pool.hosts.map(({ host }) => host)).toEqual(["h1"]);
}

test("[DP6] from before there was a register of tokens", async () => {
  await serveOn("38b1cd0", { EgressIp: 3, EgressPool: 6, PoolCatalogue: 1 });
  await cluster!.killEdge();
  const { EgressIp, EgressPool, PoolCatalogue } = await storedVersions(cluster!.directory);
  expect({ EgressIp, EgressPool, PoolCatalogue }).toEqual({
    EgressIp: NOW.EgressIp,
    EgressPool: NOW.EgressPool,
    PoolCatalogue: NOW.PoolCatalogue,
  });
});

test("[DP6] with tokens, one of which was revoked, and a policy", async () => {
  await serveOn("00d4265", { EgressIp: 6, EgressPool: 7, PoolCatalogue: 2, AccessRegister: 1 });
  const { directory, api } = cluster!;
  const revoked = await askWith(await readFile(join(directory, "revoked.token"), "utf8"));
  expect(revoked.status).toBe(401);
  expect(await revoked.json()).toMatchObject({ code: "token-revoked" });
  const { tokens } = await api.listTokens({});
  expect(tokens.map(({ name }) => name).toSorted()).toEqual(["kept", "revoked"]);
  const { destinations } = await api.getPolicy({ pool: POOL });
  expect(destinations.deny).toEqual(["*:25"]);
  await cluster!.killEdge();
  expect(await storedVersions(directory)).toEqual(NOW);
});

/** Long uploads that a host refuses late, through real processes: another takes them whole. */
import { createHash } from "node:crypto";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { Cluster, freePort, POOL, until } from "./cluster.ts";
import { startNameServer } from "./name-server.ts";

const EGRESS_IP6 = "::1";
const HOSTS = ["h1", "h2", "h3"];
/** Names with AAAA only that nobody has asked for before, and that take a while to look up. */
const UNHEARD_OF = Array.from({ length: 40 }, (_, at) => `n${at}.late.test`);
const UPLOAD = Buffer.alloc(2_000_000, "ipshard, in a long upload. ");
const UPLOAD_HASH = createHash("sha256").update(UPLOAD).digest("hex");

let cluster: Cluster;
let names: Awaited<ReturnType<typeof startNameServer>>;

beforeAll(async () => {
  names = await startNameServer(Object.fromEntries(UNHEARD_OF.map((name) => [name, ["::1"]])));
  const agentArgs = [`--dns=${names.address}`, "--allow=::1/128"];
  cluster = await Cluster.start({ hosts: HOSTS, agentArgs });
  await cluster.api.putIp({ pool: POOL, ip: EGRESS_IP6 });
  await until("all hosts serve it", async () => {
    for (const host of HOSTS) {
      const { addresses } = await cluster.status(host);
      if (!addresses.some(({ ip, portCount }) => ip === EGRESS_IP6 && portCount > 0)) return false;
    }
    return (await upload(`http://[::1]:${cluster.origin.port}/upload`, 0)) === "200 whole";
  });
});
afterEach(async () => {
  for (const host of HOSTS) {
    if (cluster.hosts.get(host)?.running == null) continue;
    await until(`nothing is under way on ${host}`, async () => (await cluster.status(host)).running === 0);
  }
});
afterAll(async () => {
  await cluster?.stop();
  names?.close();
});

/** Sends a long upload, every other one in chunks; what came of it. */
async function upload(url: string, at: number, egress: Record<string, string> = {}): Promise<string> {
  const headers = { ...(await cluster.clientHeaders()), ...egress };
  const body = at % 2 === 0 ? UPLOAD : new Blob([UPLOAD]).stream();
  const reply = await fetch(cluster.through(url), { method: "POST", headers, body, duplex: "half" });
  const { code, sha256 } = (await reply.json()) as { code?: string; sha256?: string };
  return `${reply.status} ${code ?? (sha256 === UPLOAD_HASH ? "whole" : "broken")}`;
}

async function kindsOf(uploads: readonly Promise<string>[]): Promise<string[]> {
  return [...new Set(await Promise.all(uploads))];
}

test("[WK43] [PL6] uploads of sessions to names that only the other family reaches arrive whole", async () => {
  for (let from = 0; from < UNHEARD_OF.length; from += 10) {
    const uploads = UNHEARD_OF.slice(from, from + 10).map((name, at) =>
      upload(`http://${name}:${cluster.origin.port}/upload`, at, {
        egress: `session=s${from + at}, sticky=strict`,
      }),
    );
    expect(await kindsOf(uploads)).toEqual(["200 whole"]);
  }
});

test("[WK43] [WK11] what the destination refuses is refused by name, and asked of no other", async () => {
  const closed = `http://127.0.0.20:${await freePort()}/`;
  const uploads = Array.from({ length: 20 }, (_, at) => upload(closed, at));
  expect(await kindsOf(uploads)).toEqual(["502 connection-refused"]);
});

test("[WK43] uploads right after a host began to drain arrive whole", async () => {
  const held = fetch(cluster.through(cluster.originUrl("/hold"), cluster.edgeUrl), {
    headers: await cluster.clientHeaders(),
  });
  await until("a request is held", async () => (await cluster.askOrigin("held")) === 1);
  const host = await holder();
  process.kill(cluster.pidOf(host), "SIGTERM");
  for (let round = 0; round < 10; round += 1) {
    const uploads = Array.from({ length: 10 }, (_, at) => upload(cluster.originUrl("/upload"), at));
    expect(await kindsOf(uploads)).toEqual(["200 whole"]);
  }
  await cluster.askOrigin("release");
  expect(await (await held).text()).toBe("released");
  await cluster.hosts.get(host)!.running!.exited;
  cluster.hosts.get(host)!.running = null;
});

/** The host that has a request under way. */
async function holder(): Promise<string> {
  for (const host of HOSTS) if ((await cluster.status(host)).running > 0) return host;
  throw new Error("nothing is under way");
}

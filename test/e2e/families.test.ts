/** A pool with an address of each family, and destinations that have one of them only. */
import { once } from "node:events";
import { WebSocket } from "ws";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Cluster, EGRESS_IP, POOL, until } from "./cluster.ts";
import { startNameServer } from "./name-server.ts";

/** The one IPv6 address that every machine's loopback has: the egress's and the origin's. */
const EGRESS_IP6 = "::1";
const HOSTS = ["h1", "h2"];
/** Names with AAAA only that nobody has asked for before. */
const UNHEARD_OF = Array.from({ length: 30 }, (_, index) => `new${index}.test`);

let cluster: Cluster;
let names: Awaited<ReturnType<typeof startNameServer>>;

beforeAll(async () => {
  names = await startNameServer({
    "four.test": ["127.0.0.20"],
    "six.test": ["::1"],
    "both.test": ["127.0.0.21", "::1"],
    ...Object.fromEntries(UNHEARD_OF.map((name) => [name, ["::1"]])),
  });
  const agentArgs = [`--dns=${names.address}`, "--allow=::1/128"];
  cluster = await Cluster.start({ hosts: HOSTS, agentArgs });
  await cluster.api.putIp({ pool: POOL, ip: EGRESS_IP6 });
  await until("both hosts serve it", async () => {
    for (const host of HOSTS) {
      const { addresses } = await cluster.status(host);
      if (!addresses.some(({ ip, portCount }) => ip === EGRESS_IP6 && portCount > 0)) return false;
    }
    const reply = await ask("[::1]", `ip="${EGRESS_IP6}"`);
    return reply.status === 200;
  });
});
afterAll(async () => {
  await cluster?.stop();
  names?.close();
});

interface Answered {
  readonly status: number;
  readonly code: string | null;
  /** The egress address, as the origin saw it. */
  readonly from: string | null;
}

async function ask(host: string, egress?: string): Promise<Answered> {
  const headers = { ...(await cluster.clientHeaders()), ...(egress === undefined ? {} : { egress }) };
  const reply = await fetch(cluster.through(`http://${host}:${cluster.origin.port}/seen`), { headers });
  const body = (await reply.json()) as { code?: string; address?: string };
  return { status: reply.status, code: body.code ?? null, from: body.address ?? null };
}

/** Asks so often, ten at a time, and gives each kind of answer once. */
async function kindsOf(count: number, host: string, egress?: string): Promise<Answered[]> {
  const kinds = new Map<string, Answered>();
  for (let sent = 0; sent < count; sent += 10) {
    for (const answer of await Promise.all(Array.from({ length: 10 }, () => ask(host, egress)))) {
      kinds.set(JSON.stringify(answer), answer);
    }
  }
  return [...kinds.values()];
}

test.each([
  ["an IPv4 literal", 60, "127.0.0.20", EGRESS_IP],
  ["an IPv6 literal", 40, "[::1]", EGRESS_IP6],
  ["an IPv4 address in the dress of IPv6", 40, "[::ffff:127.0.0.20]", EGRESS_IP],
  ["a name with A only", 40, "four.test", EGRESS_IP],
  ["a name with AAAA only", 40, "six.test", EGRESS_IP6],
])("[PL6] [WK21] %s: none of %i requests fails", async (_what, count, host, from) => {
  expect(await kindsOf(count, host)).toEqual([{ status: 200, code: null, from }]);
});

test("[PL6] a name with both is reached from both", async () => {
  const kinds = await kindsOf(40, "both.test");
  expect(kinds.map(({ status, from }) => `${status} ${from}`).toSorted()).toEqual([
    `200 ${EGRESS_IP}`,
    `200 ${EGRESS_IP6}`,
  ]);
});

test.each([
  ["a length", 0],
  ["chunks", 10],
])(
  "[PL6] [WK21] a long upload in %s to a name of which nothing is known arrives whole",
  async (what, from) => {
    const bytes = Buffer.alloc(2_000_000, "x");
    for (const [index, name] of UNHEARD_OF.slice(from, from + 10).entries()) {
      const session = index % 2 === 0 ? {} : { egress: `session=s${index}` };
      const headers = { ...(await cluster.clientHeaders()), ...session };
      const url = cluster.through(`http://${name}:${cluster.origin.port}/upload`);
      const body = what === "a length" ? bytes : new Blob([bytes]).stream();
      const reply = await fetch(url, { method: "POST", headers, body, duplex: "half" });
      expect(await reply.json()).toMatchObject({ byteCount: bytes.length });
      expect(reply.headers.get("egress-ip")).toBe(EGRESS_IP6);
    }
  },
);

test("[PL6] [WK21] a WebSocket finds the family of its destination", async () => {
  for (const name of UNHEARD_OF.slice(20)) {
    const url = cluster.through(`http://${name}:${cluster.origin.port}/ws`).replace("http", "ws");
    const socket = new WebSocket(url, { headers: await cluster.clientHeaders() });
    await once(socket, "open");
    socket.send("hello");
    const [echo] = (await once(socket, "message")) as [Buffer];
    expect(echo.toString()).toBe("hello");
    socket.close();
    await once(socket, "close");
  }
});

test("[PL6] a session is moved to the family that its destination has", async () => {
  for (let count = 0; count < 10; count += 1) {
    const session = `session=s${count}`;
    expect(await ask("127.0.0.20", session)).toMatchObject({ status: 200, from: EGRESS_IP });
    expect(await ask("six.test", `${session}, sticky=strict`)).toMatchObject({
      status: 200,
      from: EGRESS_IP6,
    });
  }
});

test.each([
  [EGRESS_IP6, "127.0.0.20"],
  [EGRESS_IP6, "four.test"],
  [EGRESS_IP, "[::1]"],
  [EGRESS_IP, "six.test"],
])("[PL6] [RS4] from %s, as selected, %s is refused by name", async (ip, host) => {
  const egress = `ip="${ip}"`;
  const refused = await ask(host, egress);
  expect(refused).toMatchObject({ code: "address-family-mismatch" });
  expect(await kindsOf(10, host, egress)).toEqual([refused]);
});

test("[WK20] a wrong family is held against no host", async () => {
  const seen = new Set<string>();
  for (let count = 0; count < 20; count += 1) {
    const headers = await cluster.clientHeaders();
    const reply = await fetch(cluster.through(cluster.originUrl("/seen")), { headers });
    await reply.body?.cancel();
    seen.add(String(reply.headers.get("egress-host")));
  }
  expect(seen).toEqual(new Set(HOSTS));
});

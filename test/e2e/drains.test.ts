/** Hosts and addresses are drained by their operator while requests leave from them, and resumed. */
import { afterEach, expect, test } from "vitest";
import type { AnswerOf } from "../../src/api/edge-api.ts";
import { Cluster, delay, EGRESS_IP, POOL, until } from "./cluster.ts";

const OTHER_IP = "127.0.0.11";
const IPS = [EGRESS_IP, OTHER_IP];
const HOSTS = ["h1", "h2", "h3"];
/** Copies of the placement are fresh for so long. [WK4] */
const FRESH_MS = 3_000;

let cluster: Cluster;

afterEach(() => cluster?.stop());

async function ask(path: string, egress?: string): Promise<Response> {
  const headers = { ...(await cluster.clientHeaders()), ...(egress === undefined ? {} : { egress }) };
  return fetch(cluster.through(cluster.originUrl(path)), { headers });
}

/** Requests without a pause, none of them ever repeated by the client. */
class Load {
  readonly failed: string[] = [];
  sentCount = 0;
  /** When a host or an address was last seen to serve a request that was sent then. */
  readonly servedAtMs = new Map<string, number>();
  #isOver = false;
  #lines: Promise<void>[] = [];

  /** A line of requests with this selection. */
  add(path: string, egress: string | null, init: RequestInit = {}): { stop: () => Promise<void> } {
    const line = { isOver: false };
    const running = this.#run(line, path, egress, init);
    this.#lines.push(running);
    return {
      stop: () => {
        line.isOver = true;
        return running;
      },
    };
  }

  async stop(): Promise<void> {
    this.#isOver = true;
    await Promise.all(this.#lines);
  }

  async #run(line: { isOver: boolean }, path: string, egress: string | null, init: RequestInit) {
    const headers = { ...(await cluster.clientHeaders()), ...(egress === null ? {} : { egress }) };
    while (!this.#isOver && !line.isOver) {
      const sentAtMs = Date.now();
      this.sentCount += 1;
      try {
        const reply = await fetch(cluster.through(cluster.originUrl(path)), { ...init, headers });
        const text = await reply.text();
        if (reply.status !== 200) this.failed.push(`${egress} ${path}: ${reply.status} ${text}`);
        for (const field of ["egress-host", "egress-ip"]) {
          this.servedAtMs.set(reply.headers.get(field) ?? "", sentAtMs);
        }
      } catch (fault) {
        this.failed.push(`${egress} ${path}: ${String(fault)}`);
      }
    }
  }
}

async function hostOf(name: string): Promise<AnswerOf<"listHosts">["hosts"][number]> {
  return (await cluster.api.listHosts({ pool: POOL })).hosts.find(({ host }) => host === name)!;
}

async function ipOf(name: string): Promise<AnswerOf<"listIps">["ips"][number]> {
  return (await cluster.api.listIps({ pool: POOL })).ips.find(({ ip }) => ip === name)!;
}

/** Ports in the table of an address that a host holds, or all hosts. */
async function portsOf(ip: string, host?: string): Promise<number> {
  const { blocks } = await cluster.api.getIp({ ip });
  const held = blocks.filter((lease) => lease.state === "leased" && (host ?? lease.host) === lease.host);
  return held.reduce((sum, { order }) => sum + 2 ** order, 0);
}

async function placedHosts(): Promise<Map<string, string[]>> {
  const { hosts } = await cluster.apiAs("client", "tester").makeGatewayToken();
  return new Map(IPS.map((ip) => [ip, hosts.filter(({ ips }) => ips.includes(ip)).map(({ host }) => host)]));
}

async function start(minHostsPerIp: number): Promise<void> {
  cluster = await Cluster.start({ hosts: HOSTS, settings: { minHostsPerIp, quarantineMs: 1_000 } });
  await cluster.api.putIp({ pool: POOL, ip: OTHER_IP });
  await until("both are served", async () => {
    const placed = [...(await placedHosts()).values()];
    return placed.every((hosts) => hosts.length >= minHostsPerIp);
  });
}

test.each([3, 1])(
  "[DR1] [DR2] [DR3] with %d hosts to an address, a host and an address are drained and resumed, and no request fails",
  async (minHostsPerIp) => {
    await start(minHostsPerIp);
    const load = new Load();
    const posted = { method: "POST", body: "x".repeat(20_000) };
    for (const session of ["a", "b"]) load.add("/seen", `session="${session}"`);
    load.add("/seen", null);
    load.add("/upload", null, posted);
    load.add("/seen", `ip="${OTHER_IP}"`);
    const pinned = load.add("/upload", `ip="${EGRESS_IP}"`, posted);

    const first = await ask("/events", `ip="${EGRESS_IP}"`);
    const host = first.headers.get("egress-host")!;
    await delay(500);
    const drained = { pool: POOL, host };
    const drainedAtMs = Date.now();
    expect((await cluster.api.drainHost(drained)).hosts.find((known) => known.host === host)).toMatchObject({
      drain: { state: "draining" },
    });
    await until("one flow is left on the host", async () => {
      const { drain, rooms, leaving } = await hostOf(host);
      const [left] = leaving;
      return drain?.flowCount === 1 && rooms.length === 0 && leaving.length === 1 && left?.ip === EGRESS_IP;
    });
    await delay(FRESH_MS + 2_000);
    expect(load.servedAtMs.get(host) ?? 0).toBeLessThan(drainedAtMs + FRESH_MS + 1_000);
    expect((await hostOf(host)).drain).toMatchObject({ state: "draining", flowCount: 1 });
    expect((await hostOf(host)).drain!.portCount).toBe(await portsOf(EGRESS_IP, host));
    await cluster.askOrigin("release");
    expect(await first.text()).toMatch(/released$/);
    await until("the host is drained", async () => (await hostOf(host)).drain?.state === "drained");
    expect(await Promise.all(IPS.map((ip) => portsOf(ip, host)))).toEqual([0, 0]);
    await cluster.api.resumeHost(drained);
    await cluster.untilServing(HOSTS);

    await pinned.stop();
    expect(load.failed).toEqual([]);
    const second = await ask("/events", `ip="${EGRESS_IP}"`);
    const emptied = { pool: POOL, ip: EGRESS_IP };
    await cluster.api.drainIp(emptied);
    await until(
      "one flow is left on the address",
      async () => (await ipOf(EGRESS_IP)).drain?.flowCount === 1,
    );
    await until("the other has all hosts", async () => {
      const placed = await placedHosts();
      return placed.get(EGRESS_IP)!.length === 0 && placed.get(OTHER_IP)!.length === HOSTS.length;
    });
    // Who asks for it by name is told by name; nobody else notices.
    const named = await ask("/seen", `ip="${EGRESS_IP}"`);
    expect([named.status, await named.json()]).toMatchObject([503, { code: "no-host" }]);
    await cluster.askOrigin("release");
    expect(await second.text()).toMatch(/released$/);
    await until("the address is drained", async () => (await ipOf(EGRESS_IP)).drain?.state === "drained");
    expect(await portsOf(EGRESS_IP)).toBe(0);
    const resumedAtMs = Date.now();
    expect(load.servedAtMs.get(EGRESS_IP)).toBeLessThan(resumedAtMs);
    await cluster.api.resumeIp(emptied);
    await until("it is served again", async () => (load.servedAtMs.get(EGRESS_IP) ?? 0) > resumedAtMs);
    await load.stop();
    expect(load.failed).toEqual([]);
    expect(load.sentCount).toBeGreaterThan(500);
  },
  120_000,
);

test("[DR4] [DR6] what is drained stays so when its agent and the edge start anew, and the last host is missed by name", async () => {
  await start(3);
  await cluster.api.drainHost({ pool: POOL, host: "h1" });
  await until("it is drained", async () => (await hostOf("h1")).drain?.state === "drained");
  await cluster.stopHost("h1", "SIGTERM");
  await cluster.startHost("h1");
  await until("it is back", async () => (await hostOf("h1")).live && !(await hostOf("h1")).draining);
  await cluster.killEdge();
  await cluster.startEdge();
  await until("all are back", async () =>
    (await cluster.api.listHosts({ pool: POOL })).hosts.every(({ live }) => live),
  );
  await cluster.untilServing(["h2", "h3"]);
  expect(await hostOf("h1")).toMatchObject({
    rooms: [],
    drain: { state: "drained", portCount: 0, flowCount: 0 },
  });
  expect(await portsOf(EGRESS_IP, "h1")).toBe(0);

  for (const host of ["h2", "h3"]) await cluster.api.drainHost({ pool: POOL, host });
  await until("nobody serves", async () => {
    const reply = await ask("/seen");
    return reply.status === 503 && ((await reply.json()) as { code: string }).code === "no-host";
  });
  for (const host of HOSTS) await cluster.api.resumeHost({ pool: POOL, host });
  await cluster.untilServing(HOSTS);
  await until("requests are served", async () => (await ask("/seen")).ok);
}, 60_000);

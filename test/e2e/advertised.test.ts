/**
 * A cloud that maps the shared address to another: clients of the edge, of gateways and of proxies are told
 * what the Internet sees, select by either, and partners are told the same; over a restart without the edge, too.
 */
import { once } from "node:events";
import { request as httpRequest } from "node:http";
import { connect } from "node:net";
import { afterAll, beforeAll, expect, test } from "vitest";
import { WebSocket } from "ws";
import { Cluster, EGRESS_IP, freePort, POOL, until } from "./cluster.ts";

const SEEN = "203.0.113.9";

let cluster: Cluster;
let proxyPorts: Record<string, number>;

beforeAll(async () => {
  proxyPorts = { h1: await freePort(), h2: await freePort() };
  cluster = await Cluster.start({
    hosts: [],
    settings: { staticPortsPerHost: 1_024, quarantineMs: 1_000, published: true },
  });
  await cluster.startHost("h1", [`--proxy=127.0.0.1:${proxyPorts["h1"]}`]);
  await cluster.startHost("h2", [`--proxy=127.0.0.1:${proxyPorts["h2"]}`, "--processes=2"]);
  await cluster.untilServing(["h1", "h2"]);
  // Hosts that are there already are told, too.
  await cluster.api.putIp({ pool: POOL, ip: EGRESS_IP, advertised: SEEN, country: "de" });
}, 60_000);
afterAll(() => cluster?.stop());

/** Status, and the address that the answer tells. */
async function toldBy(base: string, token: string, selection: string): Promise<[number, string | null]> {
  const headers = { "egress-authorization": `Bearer ${token}`, egress: selection };
  const answer = await fetch(cluster.through(cluster.originUrl("/seen"), base), { headers });
  await answer.arrayBuffer();
  return [answer.status, answer.headers.get("egress-ip")];
}

/** The address that a proxy tells the client of a request, of a CONNECT and of SOCKS5. */
async function toldByProxy(port: number): Promise<readonly unknown[]> {
  const options = { host: "127.0.0.1", port, headers: { host: "origin" }, agent: false };
  const request = httpRequest({ ...options, path: cluster.originUrl("/seen") }).end();
  const [answer] = (await once(request, "response")) as [{ headers: Record<string, string>; resume(): void }];
  answer.resume();
  const target = cluster.originUrl("").slice("http://".length);
  const tunnel = httpRequest({ ...options, method: "CONNECT", path: target }).end();
  const [agreed, socket] = (await once(tunnel, "connect")) as [typeof answer, { destroy(): void }];
  socket.destroy();
  const client = connect(port, "127.0.0.1");
  client.write(Buffer.from([5, 1, 0]));
  await once(client, "data");
  const [address, origin] = target.split(":");
  const place = Buffer.from([...address!.split(".").map(Number), Number(origin) >> 8, Number(origin) & 255]);
  client.write(Buffer.concat([Buffer.from([5, 1, 0, 1]), place]));
  const [reply] = (await once(client, "data")) as [Buffer];
  client.destroy();
  return [answer.headers["egress-ip"], agreed.headers["egress-ip"], [...reply.subarray(4, 8)].join(".")];
}

test("[PF5] every client is told what the Internet sees, by the edge, by gateways, by proxies", async () => {
  const client = await cluster.token("client", "tester");
  const { token } = await cluster.apiAs("client", "tester").makeGatewayToken();
  for (const host of ["h1", "h2"]) {
    await until(`${host} has been told`, async () => {
      return (await toldBy(cluster.gatewayOf(host), token, ""))[1] === SEEN;
    });
    // Each of its processes.
    for (let time = 0; time < 8; time += 1) {
      expect(await toldBy(cluster.gatewayOf(host), token, "")).toEqual([200, SEEN]);
      expect(await toldByProxy(proxyPorts[host]!)).toEqual([SEEN, SEEN, SEEN]);
    }
  }
  expect(await toldBy(cluster.edgeUrl, client, "")).toEqual([200, SEEN]);
  const to = encodeURIComponent(cluster.originUrl("/ws"));
  const socket = new WebSocket(`${cluster.edgeUrl.replace("http", "ws")}/v1/fetch?url=${to}`, {
    headers: { "egress-authorization": `Bearer ${client}` },
  });
  const [upgraded] = (await once(socket, "upgrade")) as [{ headers: Record<string, string> }];
  expect(upgraded.headers["egress-ip"]).toBe(SEEN);
  socket.terminate();
});

test("[PF6] an address is selected by itself and by what the Internet sees, at the edge and at a gateway", async () => {
  const client = await cluster.token("client", "tester");
  const { token } = await cluster.apiAs("client", "tester").makeGatewayToken();
  // The placement that the edge remembers may be a few seconds old.
  await until("the edge knows", async () => {
    return (await toldBy(cluster.edgeUrl, client, `ip="${SEEN}"`))[0] === 200;
  });
  for (const [base, bearer] of [
    [cluster.edgeUrl, client],
    [cluster.gatewayOf("h1"), token],
  ] as const) {
    expect(await toldBy(base, bearer, `ip="${SEEN}"`)).toEqual([200, SEEN]);
    expect(await toldBy(base, bearer, `ip="${EGRESS_IP}"`)).toEqual([200, SEEN]);
    expect((await toldBy(base, bearer, 'ip="203.0.113.10"'))[0]).toBeGreaterThan(399);
  }
});

test("[PF1] [PF3] a partner reads what the Internet sees, without a token", async () => {
  await until("it is published", async () => {
    return (await (await fetch(`${cluster.edgeUrl}/.well-known/geofeed.csv`)).text()).includes(SEEN);
  });
  const list = (await (await fetch(`${cluster.edgeUrl}/.well-known/egress-ips.json`)).json()) as {
    prefixes: object[];
  };
  expect(list.prefixes).toEqual([
    expect.objectContaining({ ipv4Prefix: `${SEEN}/32`, pool: POOL, state: "active", country: "DE" }),
  ]);
});

test("[PF5] a host that starts without the edge remembers it", async () => {
  const { token } = await cluster.apiAs("client", "tester").makeGatewayToken();
  await cluster.killEdge();
  for (const host of ["h1", "h2"]) {
    await cluster.stopHost(host, "SIGKILL");
    await cluster.startHost(host);
    const health = `${cluster.gatewayOf(host)}/health`;
    await until(`${host} serves`, async () => (await fetch(health)).status === 200);
    for (let time = 0; time < 4; time += 1) {
      expect(await toldBy(cluster.gatewayOf(host), token, "")).toEqual([200, SEEN]);
    }
  }
});

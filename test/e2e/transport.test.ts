/**
 * TLS on every way that a token takes: a client to the edge, the edge to the gateways, a client to the
 * gateways and to the proxies; all with certificates of an authority that only this operator trusts, and
 * with two data processes on each host.
 */
import { copyFile } from "node:fs/promises";
import { request as httpRequest } from "node:http";
import { request as httpsRequest, type RequestOptions } from "node:https";
import { join } from "node:path";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Authority, type MadeCertificate } from "../agent/certificates.ts";
import { Cluster, freePort, until } from "./cluster.ts";

let authority: Authority;
let clientAuthority: Authority;
let ca: string;
let edgeClient: MadeCertificate;
let cluster: Cluster;
let files: { certificate: string; key: string };
let proxyPort: number;

beforeAll(async () => {
  authority = await Authority.make("servers of the operator");
  clientAuthority = await Authority.make("clients of the operator");
  ca = await authority.text();
  const [edge, gateway] = [
    await authority.sign("edge", "serverAuth"),
    await authority.sign("h1", "serverAuth"),
  ];
  edgeClient = await clientAuthority.sign("the edge", "clientAuth");
  files = {
    certificate: join(authority.directory, "gateway.pem"),
    key: join(authority.directory, "gateway-key.pem"),
  };
  await copyFile(gateway.certificate, files.certificate);
  await copyFile(gateway.key, files.key);
  proxyPort = await freePort();
  cluster = await Cluster.start({
    hosts: ["h1"],
    ca: authority.file,
    edgeArgs: [
      `--certificate=${edge.certificate}`,
      `--key=${edge.key}`,
      `--gateway-ca=${authority.file}`,
      `--gateway-client-certificate=${edgeClient.certificate}`,
      `--gateway-client-key=${edgeClient.key}`,
    ],
    agentArgs: [
      "--processes=2",
      "--gateway=https://localhost:PORT",
      `--gateway-certificate=${files.certificate}`,
      `--gateway-key=${files.key}`,
      `--gateway-client-ca=${clientAuthority.file}`,
      `--proxy=127.0.0.1:${proxyPort}`,
      `--proxy-certificate=${files.certificate}`,
      `--proxy-key=${files.key}`,
    ],
  });
}, 90_000);
afterAll(async () => {
  await cluster?.stop();
  await Promise.all([authority.close(), clientAuthority.close()]);
});

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
}

async function get(url: string, options: RequestOptions = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const send = url.startsWith("https:") ? httpsRequest : httpRequest;
    const request = send(url, { ca, agent: false, ...options }, (response) => {
      let body = "";
      response.on("data", (part: Buffer) => (body += part.toString()));
      response.on("error", reject);
      response.on("end", () => resolve({ status: response.statusCode!, headers: response.headers, body }));
    });
    request.on("error", reject);
    request.end();
  });
}

/** The serial number of the certificate that a place shows. */
async function serialAt(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket: TLSSocket = connectTls({ port, host: "127.0.0.1", ca }, () => {
      resolve(socket.getPeerX509Certificate()!.serialNumber);
      socket.destroy();
    });
    socket.on("error", reject);
  });
}

describe("TLS all the way", () => {
  test("[TR1] [TR8] the edge reaches gateways by TLS, with a certificate of its own", async () => {
    const url = cluster.through(cluster.originUrl("/seen"));
    expect(url).toMatch(/^https:/);
    const answer = await get(url, { headers: await cluster.clientHeaders() });
    expect(answer.status).toBe(200);
    expect(answer.headers).toMatchObject({ "egress-ip": "127.0.0.10", "egress-host": "h1" });
  });

  test("[TR3] a client without a certificate is refused by a gateway, whatever its token, and one with it is not", async () => {
    const client = await get(`${cluster.edgeUrl}/v1/gateway-tokens`, {
      method: "POST",
      headers: await cluster.clientHeaders(),
    });
    const { token, hosts } = JSON.parse(client.body) as { token: string; hosts: { gateway: string }[] };
    const [{ gateway } = { gateway: "" }] = hosts;
    expect(gateway).toMatch(/^https:\/\/localhost:/);
    const url = cluster.through(cluster.originUrl("/seen"), gateway);
    const headers = { "egress-authorization": `Bearer ${token}` };
    const refused = await get(url, { headers });
    expect([refused.status, JSON.parse(refused.body).code]).toEqual([403, "client-certificate-invalid"]);
    const { cert, keyText: key } = edgeClient;
    expect((await get(url, { headers, cert, key })).status).toBe(200);
  });

  test("[TR1] a gateway takes no token over plain HTTP", async () => {
    const { port } = cluster.hosts.get("h1")!;
    const refused = await get(`http://127.0.0.1:${port}/v1/status`);
    expect([refused.status, JSON.parse(refused.body).code]).toEqual([403, "tls-required"]);
  });

  test("[TR2] certificates are renewed in all data processes while requests run", async () => {
    const { port } = cluster.hosts.get("h1")!;
    const before = await serialAt(port);
    expect(await serialAt(proxyPort)).toBe(before);
    const next = await authority.sign("h1, renewed", "serverAuth");
    const over = new AbortController();
    let count = 0;
    const headers = await cluster.clientHeaders();
    const traffic = (async () => {
      while (!over.signal.aborted) {
        const { status } = await get(cluster.through(cluster.originUrl("/seen")), { headers });
        expect(status).toBe(200);
        count += 1;
      }
    })();
    await copyFile(next.key, files.key);
    await copyFile(next.certificate, files.certificate);
    // Either process may answer: several times in a row the old one is shown by none.
    await until(
      "both show the renewed one",
      async () => {
        const seen = await Promise.all(Array.from({ length: 12 }, () => serialAt(port)));
        const proxies = await Promise.all(Array.from({ length: 12 }, () => serialAt(proxyPort)));
        return ![...seen, ...proxies].includes(before);
      },
      60_000,
    );
    const renewedAt = count;
    await until("requests go on", () => count > renewedAt + 5);
    over.abort();
    await traffic;
  }, 90_000);
});

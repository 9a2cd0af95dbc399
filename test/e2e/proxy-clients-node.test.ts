/** Node's own clients with a proxy from the environment, and the agents of undici. */
import { createHash, randomBytes } from "node:crypto";
import { join } from "node:path";
import { writeFile } from "node:fs/promises";
import {
  type Dispatcher,
  EnvHttpProxyAgent,
  fetch as undiciFetch,
  ProxyAgent,
  request,
  Socks5ProxyAgent,
  WebSocket,
} from "undici";
import { afterAll, beforeAll, expect, test } from "vitest";
import { CERTIFICATE } from "../agent/tls-origin.ts";
import { EGRESS_IP } from "./cluster.ts";
import { DIRECT, type Ended, FROM_H1, FROM_H2, ProxiedCluster, SECURE_NAME } from "./proxied-cluster.ts";

/** Asks by `fetch`, and by `node:http` or `node:https`, and prints what it is told. */
const ASK = `
import http from "node:http";
import https from "node:https";
const [how, url] = process.argv.slice(2);
if (how === "fetch") {
  const answer = await fetch(url);
  console.log(JSON.stringify({ status: answer.status, ...(await answer.json()) }));
} else {
  const client = url.startsWith("https:") ? https : http;
  client.get(url, async (answer) => {
    const text = Buffer.concat(await answer.toArray()).toString();
    console.log(JSON.stringify({ status: answer.statusCode, ...JSON.parse(text) }));
  });
}
`;
/** Uploads a file of 3 MB as a stream, three times at once. */
const UPLOAD = `
import { createReadStream } from "node:fs";
import { Readable } from "node:stream";
const [url, file] = process.argv.slice(2);
const one = async () => {
  const body = Readable.toWeb(createReadStream(file));
  const answer = await fetch(url, { method: "POST", body, duplex: "half" });
  return (await answer.json()).sha256;
};
console.log(JSON.stringify(await Promise.all([one(), one(), one()])));
`;

let rig: ProxiedCluster;
let ask: string;

beforeAll(async () => {
  rig = await ProxiedCluster.start();
  ask = join(rig.cluster.directory, "ask.mjs");
  await writeFile(ask, ASK);
});
afterAll(async () => {
  await rig?.stop();
});

/** A program on a Node that takes its proxy from the environment. */
function runNode(args: readonly string[], env: Record<string, string>): Promise<Ended> {
  return rig.run(process.execPath, args, {
    env: { NODE_USE_ENV_PROXY: "1", NODE_EXTRA_CA_CERTS: rig.certificateFile, ...env },
  });
}

async function askNode(how: string, url: string, env: Record<string, string>): Promise<unknown> {
  const { stdout, stderr } = await runNode([ask, how, url], env);
  return stdout === "" ? stderr : JSON.parse(stdout);
}

const LEFT = { status: 200, address: EGRESS_IP };

test.each(["fetch", "http"])("NODE_USE_ENV_PROXY: %s to HTTP and HTTPS", async (how) => {
  const http = rig.proxyUrl("http");
  for (const name of ["http_proxy", "HTTP_PROXY"]) {
    expect(await askNode(how, rig.named("/seen"), { [name]: http })).toMatchObject(LEFT);
  }
  for (const name of ["https_proxy", "HTTPS_PROXY"]) {
    expect(await askNode(how, rig.secure("/"), { [name]: http })).toMatchObject(LEFT);
  }
  expect(await rig.egresses()).toEqual(FROM_H1);
});

test.each(["fetch", "http"])("NODE_USE_ENV_PROXY: %s with token and selection", async (how) => {
  const selection = "pool=default,session=cart-42;sticky=strict";
  for (const user of [selection, encodeURIComponent(selection)]) {
    const proxy = rig.proxyUrl("http", `${user}:${rig.token}`, "h2");
    const env = { http_proxy: proxy, https_proxy: proxy };
    expect(await askNode(how, rig.named("/seen"), env)).toMatchObject(LEFT);
    expect(await askNode(how, rig.secure("/"), env)).toMatchObject(LEFT);
  }
  expect(await rig.egresses()).toEqual(FROM_H2);
  const elsewhere = rig.proxyUrl("http", `ip=127.0.0.99:${rig.token}`, "h2");
  const env = { http_proxy: elsewhere, https_proxy: elsewhere };
  expect(JSON.stringify(await askNode(how, rig.named("/seen"), env))).toMatch(/lease-lost|503/);
  expect(await askNode(how, rig.secure("/"), env)).toMatch(/503/);
  const stranger = { http_proxy: rig.proxyUrl("http", "", "h2") };
  expect(JSON.stringify(await askNode(how, rig.named("/seen"), stranger))).toMatch(/407/);
  expect(await rig.egresses()).toEqual([]);
});

test("NODE_USE_ENV_PROXY: fetch by SOCKS5, with a token in two parts", async () => {
  const env = { http_proxy: rig.proxyUrl("socks5", rig.loginInUrl("pool=default"), "h2") };
  expect(await askNode("fetch", rig.named("/seen"), env)).toMatchObject(LEFT);
  expect(await askNode("fetch", rig.secure("/"), env)).toMatchObject(LEFT);
  expect(await rig.egresses()).toEqual(FROM_H2);
});

test("NODE_USE_ENV_PROXY: what makes Node go past the proxy without a word", async () => {
  const http_proxy = rig.proxyUrl("http");
  const url = rig.cluster.originUrl("/seen");
  const direct = { status: 200, address: "127.0.0.1" };
  // Node's http knows no SOCKS, and does not say so.
  expect(await askNode("http", url, { http_proxy: rig.proxyUrl("socks5") })).toMatchObject(direct);
  for (const how of ["fetch", "http"]) {
    expect(await askNode(how, url, { all_proxy: http_proxy })).toMatchObject(direct);
    expect(await askNode(how, url, { http_proxy, NO_PROXY: "127.0.0.20" })).toMatchObject(direct);
    expect(await askNode(how, url, { http_proxy, NO_PROXY: "*" })).toMatchObject(direct);
    expect(await askNode(how, url, { http_proxy, NODE_USE_ENV_PROXY: "0" })).toMatchObject(direct);
  }
  expect(await rig.egresses()).toEqual(DIRECT);
  // `http_proxy` alone is fetch's for https, too, and not that of https.
  expect(await askNode("fetch", rig.secure("/"), { http_proxy })).toMatchObject(LEFT);
  expect(await rig.egresses()).toEqual(FROM_H1);
});

test("NODE_USE_ENV_PROXY: uploads in streams arrive whole", async () => {
  const content = randomBytes(3_000_000);
  const file = join(rig.cluster.directory, "content");
  await writeFile(file, content);
  const program = join(rig.cluster.directory, "upload.mjs");
  await writeFile(program, UPLOAD);
  const { stdout, stderr } = await runNode([program, rig.named("/upload"), file], {
    http_proxy: rig.proxyUrl("http"),
  });
  expect(stdout, stderr).not.toBe("");
  const sha256 = createHash("sha256").update(content).digest("hex");
  expect(JSON.parse(stdout)).toEqual([sha256, sha256, sha256]);
  expect(await rig.egresses()).toEqual(FROM_H1);
});

test.each(["fetch", "http"])("NODE_USE_ENV_PROXY: %s, with TLS to the proxy", async (how) => {
  const proxy = rig.proxyUrl("https", `pool=default:${rig.token}`, "h2");
  const env = { http_proxy: proxy, https_proxy: proxy };
  expect(await askNode(how, rig.named("/seen"), env)).toMatchObject(LEFT);
  expect(await askNode(how, rig.secure("/"), env)).toMatchObject(LEFT);
  expect(await rig.egresses()).toEqual(FROM_H2);
});

/** undici's ways to a proxy: what makes the dispatcher, given who asks. */
const DISPATCHERS: readonly (readonly [name: string, make: (who: string) => Dispatcher])[] = [
  [
    "ProxyAgent",
    (who) => new ProxyAgent({ uri: rig.proxyUrl("http", who, "h2"), requestTls: { ca: CERTIFICATE } }),
  ],
  [
    "ProxyAgent in tunnels",
    (who) =>
      new ProxyAgent({
        uri: rig.proxyUrl("http", who, "h2"),
        proxyTunnel: true,
        requestTls: { ca: CERTIFICATE },
      }),
  ],
  [
    "EnvHttpProxyAgent",
    (who) => {
      const httpProxy = rig.proxyUrl("http", who, "h2");
      return new EnvHttpProxyAgent({ httpProxy, httpsProxy: httpProxy, requestTls: { ca: CERTIFICATE } });
    },
  ],
  [
    "ProxyAgent in TLS",
    (who) =>
      new ProxyAgent({
        uri: rig.proxyUrl("https", who, "h2"),
        // With HTTP/2 it sends a field that HTTP/2 forbids, and tries again for ever.
        proxyTls: { ca: CERTIFICATE, allowH2: false },
        requestTls: { ca: CERTIFICATE },
      }),
  ],
  [
    "Socks5ProxyAgent in TLS",
    (who) =>
      new Socks5ProxyAgent(rig.proxyUrl("socks5", who, "h2"), {
        // It would offer HTTP/2, which it does not speak to proxies.
        proxyTls: { ca: CERTIFICATE, servername: SECURE_NAME, allowH2: false },
        requestTls: { ca: CERTIFICATE },
      }),
  ],
  [
    "Socks5ProxyAgent",
    (who) => new Socks5ProxyAgent(rig.proxyUrl("socks5", who, "h2"), { requestTls: { ca: CERTIFICATE } }),
  ],
];

test.each(DISPATCHERS)("undici: %s", async (_name, make) => {
  const dispatcher = make(rig.loginInUrl("pool=default,session=cart-42"));
  const plain = await request(rig.named("/seen"), { dispatcher });
  expect(await plain.body.json()).toMatchObject({ address: EGRESS_IP });
  const secure = await undiciFetch(rig.secure("/"), { dispatcher });
  expect(await secure.json()).toMatchObject({ address: EGRESS_IP });
  const upload = await request(rig.named("/upload"), {
    dispatcher,
    method: "PUT",
    body: Buffer.alloc(2_000_000),
  });
  expect(await upload.body.json()).toMatchObject({ byteCount: 2_000_000 });
  const many = Array.from({ length: 50 }, async (_, at) => {
    const answer = await request(rig.named(`/download?bytes=${10_000 + at}`), { dispatcher });
    return (await answer.body.text()).length;
  });
  expect(await Promise.all(many)).toEqual(many.map((_, at) => 10_000 + at));
  expect(await echoed(dispatcher)).toBe("twice said");
  expect(await rig.egresses()).toEqual(FROM_H2);
  await dispatcher.close();
});

test.each(DISPATCHERS)(
  "undici: %s of a stranger, and of one who selects what is not there",
  async (_name, make) => {
    const url = rig.named("/seen");
    for (const who of ["", rig.loginInUrl("ip=127.0.0.99")]) {
      const dispatcher = make(who);
      const outcome = await request(url, { dispatcher }).then(
        async ({ statusCode, body }) => `${statusCode} ${await body.text()}`,
        (fault: Error) => fault.message,
      );
      expect(outcome).toMatch(
        who === "" ? /407|No acceptable authentication/ : /503|lease-lost|general SOCKS server failure/i,
      );
      await dispatcher.destroy();
    }
    expect(await rig.egresses()).toEqual([]);
  },
);

/** What a WebSocket of the origin says to what it is told. */
async function echoed(dispatcher: Dispatcher): Promise<unknown> {
  const socket = new WebSocket(rig.named("/ws").replace("http:", "ws:"), { dispatcher });
  try {
    return await new Promise((resolve, reject) => {
      socket.addEventListener("open", () => socket.send("twice said"));
      socket.addEventListener("message", ({ data }) => resolve(data));
      socket.addEventListener("error", ({ error }) => reject(error));
    });
  } finally {
    socket.close();
  }
}

test("at the end nothing is held", async () => {
  const proxy = { http_proxy: rig.proxyUrl("http") };
  expect(await askNode("fetch", rig.named("/seen"), proxy)).toMatchObject(LEFT);
  await rig.untilNothingIsHeld();
  expect(await rig.egresses()).toEqual(FROM_H1);
});

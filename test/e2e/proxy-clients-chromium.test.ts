/** Chromium through a proxy: pages of fifty parts, over HTTP and over TLS, and WebSockets. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createSecureServer, type Http2ServerRequest, type Http2ServerResponse } from "node:http2";
import { createServer as createHttpsServer } from "node:https";
import type { Server } from "node:net";
import { join } from "node:path";
import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { WebSocketServer } from "ws";
import { CERTIFICATE, KEY } from "../agent/tls-origin.ts";
import { pathOf } from "./client-programs.ts";
import { FROM_H1, FROM_H2, ProxiedCluster, SECURE_NAME } from "./proxied-cluster.ts";

const PART_COUNT = 50;
/** Pictures, scripts, style sheets and what scripts fetch. */
const KINDS = ["svg", "js", "css", "json"] as const;
const SELECTION = "pool=default,session=cart-42";

type Kind = (typeof KINDS)[number];
type Request = IncomingMessage | Http2ServerRequest;
type Response = ServerResponse | Http2ServerResponse;

const PARTS: readonly { readonly path: string; readonly kind: Kind }[] = Array.from(
  { length: PART_COUNT },
  (_, at) => {
    const kind = KINDS[at % KINDS.length]!;
    return { path: `/part-${at}.${kind}`, kind };
  },
);

const CONTENTS: Readonly<Record<Kind, readonly [type: string, content: string]>> = {
  svg: ["image/svg+xml", '<svg xmlns="http://www.w3.org/2000/svg" width="7" height="7"/>'],
  js: ["text/javascript", "window.ran = (window.ran ?? 0) + 1;"],
  css: ["text/css", `/* ${"long ".repeat(20_000)} */`],
  json: ["application/json", JSON.stringify({ text: "fetched ".repeat(5_000) })],
};

const TAGS: Readonly<Record<Kind, (path: string) => string>> = {
  svg: (path) => `<img src="${path}">`,
  js: (path) => `<script src="${path}"></script>`,
  css: (path) => `<link rel="stylesheet" href="${path}">`,
  json: () => "",
};

const FETCHES = PARTS.filter(({ kind }) => kind === "json").map(({ path }) => path);
const PAGE = `<!doctype html><title>parts</title>
${PARTS.map(({ path, kind }) => TAGS[kind](path)).join("\n")}
<script>
addEventListener("load", async () => {
  const answers = await Promise.all(${JSON.stringify(FETCHES)}.map(async (path) => (await fetch(path)).json()));
  const socket = new WebSocket(location.href.replace(/^http/, "ws"));
  socket.onopen = () => socket.send("twice said");
  const said = await new Promise((resolve, reject) => {
    socket.onmessage = ({ data }) => resolve(data);
    socket.onerror = () => reject(new Error("no WebSocket"));
  }).catch(String);
  socket.close();
  window.outcome = {
    scripts: window.ran,
    pictures: [...document.images].filter(({ naturalWidth }) => naturalWidth === 7).length,
    sheets: document.styleSheets.length,
    fetched: answers.filter(({ text }) => text.length === 40_000).length,
    said,
    protocols: [...new Set(performance.getEntriesByType("resource").map((entry) => entry.nextHopProtocol))],
  };
});
</script>`;

/** How many of the parts are of this kind. */
function countOf(kind: Kind): number {
  return PARTS.filter((part) => part.kind === kind).length;
}

/** What came of a page that is whole, and which protocol was spoken on the first hop of all its parts. */
const wholeBy = (protocol: string): object => ({ ...WHOLE, protocols: [protocol] });

const WHOLE = {
  scripts: countOf("js"),
  pictures: countOf("svg"),
  sheets: countOf("css"),
  fetched: countOf("json"),
  said: "twice said",
};

let rig: ProxiedCluster;
const ports = { http: 0, h1: 0, h2: 0 };
const asked: string[] = [];

function answer(request: Request, response: Response): void {
  const { url = "/", httpVersion } = request;
  if (url !== "/favicon.ico") asked.push(`${httpVersion} ${url}`);
  const kind = PARTS.find(({ path }) => path === url)?.kind;
  const [type, content] = kind === undefined ? ["text/html", PAGE] : CONTENTS[kind];
  response.setHeader("content-type", type);
  response.setHeader("cache-control", "no-store");
  response.end(content);
}

/** With WebSockets where it speaks HTTP/1.1. */
async function serve(server: Server): Promise<number> {
  const sockets = new WebSocketServer({ noServer: true });
  server.on("upgrade", (request, socket, head) => {
    sockets.handleUpgrade(request, socket, head, (client) => {
      client.on("message", (data, isBinary) => client.send(data, { binary: isBinary }));
    });
  });
  return rig.serve(server);
}

beforeAll(async () => {
  rig = await ProxiedCluster.start();
  const secure = { key: KEY, cert: CERTIFICATE };
  ports.http = await serve(createServer(answer));
  ports.h1 = await serve(createHttpsServer(secure, answer));
  ports.h2 = await serve(createSecureServer({ ...secure, allowHTTP1: true }, answer));
});
afterAll(async () => {
  await rig?.stop();
});

interface Proxy {
  readonly server: string;
  readonly username?: string;
  readonly password?: string;
}

/** Starts a browser of its own with this proxy; names are resolved behind it. */
async function browse<Result>(proxy: Proxy, use: (page: Page) => Promise<Result>): Promise<Result> {
  let browser: Browser | null = null;
  let context: BrowserContext | null = null;
  try {
    browser = await chromium.launch({
      executablePath: pathOf("chromium")!,
      // As root it has no sandbox.
      chromiumSandbox: false,
      proxy: { ...proxy, bypass: "<-loopback>" },
      // The certificate of a proxy is none of a page's.
      args: [
        "--ignore-certificate-errors",
        "--disable-background-networking",
        `--disk-cache-dir=${join(rig.cluster.directory, "cache")}`,
      ],
      env: { ...process.env, HOME: rig.cluster.directory },
    });
    context = await browser.newContext({ ignoreHTTPSErrors: true });
    return await use(await context.newPage());
  } finally {
    await context?.close();
    await browser?.close();
  }
}

/** What became of a page and its parts. */
async function outcomeOf(page: Page, url: string): Promise<unknown> {
  await page.goto(url);
  await page.waitForFunction("window.outcome !== undefined");
  return page.evaluate("window.outcome");
}

/** Schemes of proxies, and what Chromium speaks to them where the destination has no TLS. */
const SCHEMES = [
  ["http", "http/1.1"],
  ["https", "h2"],
  ["socks5", "http/1.1"],
] as const;

test.each(SCHEMES)("%s: a page of fifty parts, with and without TLS and HTTP/2", async (scheme, spoken) => {
  await browse({ server: rig.proxyUrl(scheme) }, async (page) => {
    const cases = [
      [`http://${rig.serverName}:${ports.http}/`, "1.1", spoken],
      [`https://${SECURE_NAME}:${ports.h1}/`, "1.1", "http/1.1"],
      [`https://${SECURE_NAME}:${ports.h2}/`, "2.0", "h2"],
    ] as const;
    for (const [url, version, protocol] of cases) {
      asked.length = 0;
      expect(await outcomeOf(page, url), url).toEqual(wholeBy(protocol));
      const wanted = ["/", ...PARTS.map(({ path }) => path)].map((path) => `${version} ${path}`);
      expect(asked.toSorted()).toEqual(wanted.toSorted());
    }
  });
  expect(await rig.egresses()).toEqual(FROM_H1);
});

test.each([
  ["http", "http/1.1"],
  ["https", "h2"],
])("%s: asked for a login, it gives the token and the selection", async (scheme, spoken) => {
  const server = rig.proxyUrl(scheme, "", "h2");
  await browse({ server, username: SELECTION, password: rig.token }, async (page) => {
    const plain = `http://${rig.serverName}:${ports.http}/`;
    expect(await outcomeOf(page, plain)).toEqual(wholeBy(spoken));
    expect(await outcomeOf(page, `https://${SECURE_NAME}:${ports.h2}/`)).toEqual(wholeBy("h2"));
  });
  expect(await rig.egresses()).toEqual(FROM_H2);
});

test("what the proxy refuses is shown, and nothing of it leaves", async () => {
  await browse({ server: rig.proxyUrl("http") }, async (page) => {
    const refused = await page.goto("http://10.1.2.3/");
    expect(refused?.status()).toBe(403);
    expect(await page.content()).toContain("destination-prohibited");
    await expect(page.goto("https://10.1.2.3/")).rejects.toThrow("ERR_TUNNEL_CONNECTION_FAILED");
  });
  await browse({ server: rig.proxyUrl("http", "", "h2") }, async (page) => {
    const url = `http://${rig.serverName}:${ports.http}/`;
    await expect(page.goto(url)).rejects.toThrow("ERR_INVALID_AUTH_CREDENTIALS");
  });
  // It has no login for SOCKS, so there only a source that is listed does.
  await browse({ server: rig.proxyUrl("socks5", "", "h2") }, async (page) => {
    const url = `http://${rig.serverName}:${ports.http}/`;
    await expect(page.goto(url)).rejects.toThrow("ERR_SOCKS_CONNECTION_FAILED");
  });
  expect(await rig.egresses()).toEqual([]);
});

test("at the end nothing is held", async () => {
  await browse({ server: rig.proxyUrl("http") }, async (page) => {
    expect(await outcomeOf(page, `http://${rig.serverName}:${ports.http}/`)).toEqual(wholeBy("http/1.1"));
  });
  await rig.untilNothingIsHeld();
  expect(await rig.egresses()).toEqual(FROM_H1);
});

/** Python's clients, of Debian: urllib, and requests with HTTP and with SOCKS. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { PYTHON } from "./client-programs.ts";
import { EGRESS_IP } from "./cluster.ts";
import { DIRECT, FROM_H1, FROM_H2, ProxiedCluster } from "./proxied-cluster.ts";

/** Asks for a URL by one client; prints the status and the answer's text, or what was raised. */
const ASK = `
import json, ssl, sys, urllib.request
client, url, certificate = sys.argv[1:4]
try:
    if client == "urllib":
        context = ssl.create_default_context(cafile=certificate)
        with urllib.request.urlopen(url, context=context) as answer:
            status, text = answer.status, answer.read().decode()
    else:
        import requests
        answer = requests.get(url, verify=certificate)
        status, text = answer.status_code, answer.text
    print(json.dumps({"status": status, "text": text}))
except Exception as fault:
    text = fault.read().decode() if hasattr(fault, "read") else ""
    print(json.dumps({"fault": str(fault), "text": text}))
`;
/** One session of requests: kept connections, a body of known length and one in chunks, a redirect. */
const SESSION = `
import json, sys, requests
origin, proxy, secure, certificate = sys.argv[1:5]
session = requests.Session()
session.proxies = {"http": proxy, "https": proxy}
def pieces():
    for _ in range(30):
        yield b"ipshard " * 12500
answers = [
    session.get(origin + "/seen").json()["address"],
    session.post(origin + "/upload", data=b"x" * 3000000).json()["byteCount"],
    session.post(origin + "/upload", data=pieces()).json(),
    session.get(origin + "/redirect?to=/seen").json()["method"],
    session.get(origin + "/gzip").text[:14],
    sorted(session.get(origin + "/cookies").cookies.items()),
    session.get(origin + "/status?code=418").status_code,
    [session.get(origin + "/download?bytes=%d" % n).content.__len__() for n in (0, 1, 1000000)],
    session.get(secure, verify=certificate).json()["address"],
]
print(json.dumps(answers))
`;

interface Told {
  readonly status?: number;
  readonly text: string;
  readonly fault?: string;
}

let rig: ProxiedCluster;

beforeAll(async () => {
  rig = await ProxiedCluster.start();
  await writeFile(join(rig.cluster.directory, "ask.py"), ASK);
  await writeFile(join(rig.cluster.directory, "session.py"), SESSION);
});
afterAll(async () => {
  await rig?.stop();
});

async function ask(client: string, url: string, env: Record<string, string>): Promise<Told> {
  const text = await rig.output(PYTHON, ["ask.py", client, url, rig.certificateFile], { env });
  return JSON.parse(text) as Told;
}

function addressIn({ text, fault }: Told): unknown {
  expect(fault).toBeUndefined();
  return JSON.parse(text).address;
}

test.each(["urllib", "requests"])("%s: HTTP and HTTPS by the environment", async (client) => {
  const http = rig.proxyUrl("http");
  for (const name of ["http_proxy", "HTTP_PROXY"]) {
    expect(addressIn(await ask(client, rig.named("/seen"), { [name]: http }))).toBe(EGRESS_IP);
  }
  for (const name of ["https_proxy", "HTTPS_PROXY"]) {
    expect(addressIn(await ask(client, rig.secure("/"), { [name]: http }))).toBe(EGRESS_IP);
  }
  expect(await rig.egresses()).toEqual(FROM_H1);
});

test.each(["urllib", "requests"])("%s: token and selection, percent-encoded or not", async (client) => {
  const selection = "pool=default,session=cart-42;sticky=strict";
  for (const user of [selection, encodeURIComponent(selection)]) {
    const proxy = rig.proxyUrl("http", `${user}:${rig.token}`, "h2");
    const env = { http_proxy: proxy, https_proxy: proxy };
    expect(addressIn(await ask(client, rig.named("/seen"), env))).toBe(EGRESS_IP);
    expect(addressIn(await ask(client, rig.secure("/"), env))).toBe(EGRESS_IP);
  }
  expect(await rig.egresses()).toEqual(FROM_H2);
  const elsewhere = rig.proxyUrl("http", `ip=127.0.0.99:${rig.token}`);
  const env = { http_proxy: elsewhere, https_proxy: elsewhere };
  expect((await ask(client, rig.named("/seen"), env)).text).toContain('"lease-lost"');
  expect((await ask(client, rig.secure("/"), env)).fault).toContain("503");
  const stranger = {
    http_proxy: rig.proxyUrl("http", "", "h2"),
    https_proxy: rig.proxyUrl("http", "", "h2"),
  };
  expect((await ask(client, rig.named("/seen"), stranger)).text).toContain('"token-missing"');
  expect((await ask(client, rig.secure("/"), stranger)).fault).toContain("407");
  expect(await rig.egresses()).toEqual([]);
});

test.each(["socks5h", "socks5"])("requests: %s, with the token in one part or in two", async (scheme) => {
  // With socks5 it resolves names itself, and these it could not.
  const url = scheme === "socks5" ? rig.cluster.originUrl("/seen") : rig.named("/seen");
  const open = { http_proxy: rig.proxyUrl(scheme) };
  expect(addressIn(await ask("requests", url, open))).toBe(EGRESS_IP);
  expect(addressIn(await ask("requests", url, { all_proxy: rig.proxyUrl(scheme) }))).toBe(EGRESS_IP);
  expect(await rig.egresses()).toEqual(FROM_H1);
  const strict = { all_proxy: rig.proxyUrl(scheme, rig.loginInUrl("pool=default;session=cart-42"), "h2") };
  expect(addressIn(await ask("requests", url, strict))).toBe(EGRESS_IP);
  // What writes lengths as PySocks does has room for all of it.
  const whole = { all_proxy: rig.proxyUrl(scheme, `pool=default:${rig.token}`, "h2") };
  expect(addressIn(await ask("requests", url, whole))).toBe(EGRESS_IP);
  if (scheme === "socks5h") {
    expect(addressIn(await ask("requests", rig.secure("/"), strict))).toBe(EGRESS_IP);
  }
  expect(await rig.egresses()).toEqual(FROM_H2);
  const wrong = { all_proxy: rig.proxyUrl(scheme, "any:wrong", "h2") };
  expect((await ask("requests", url, wrong)).fault).toContain("SOCKS5 authentication failed");
  expect(await rig.egresses()).toEqual([]);
});

test.each(["http", "socks5h"])("requests: a session by %s", async (scheme) => {
  const origin = rig.named("");
  // With a body in chunks these requests send no credentials to an HTTP proxy.
  const host = scheme === "http" ? "h1" : "h2";
  const proxy = rig.proxyUrl(scheme, rig.loginInUrl("pool=default"), host);
  const args = ["session.py", origin, proxy, rig.secure("/"), rig.certificateFile];
  const told = JSON.parse(await rig.output(PYTHON, args));
  expect(told).toEqual([
    EGRESS_IP,
    3_000_000,
    expect.objectContaining({ byteCount: 3_000_000, framing: "chunked" }),
    "GET",
    "the same bytes",
    [
      ["a", "1"],
      ["b", "2"],
    ],
    418,
    [0, 1, 1_000_000],
    EGRESS_IP,
  ]);
  expect(await rig.egresses()).toEqual(host === "h1" ? FROM_H1 : FROM_H2);
});

test("requests: TLS to the proxy", async () => {
  const proxy = rig.proxyUrl("https", `pool=default:${rig.token}`, "h2");
  const env = { http_proxy: proxy, https_proxy: proxy, REQUESTS_CA_BUNDLE: rig.certificateFile };
  expect(addressIn(await ask("requests", rig.named("/seen"), env))).toBe(EGRESS_IP);
  expect(addressIn(await ask("requests", rig.secure("/"), env))).toBe(EGRESS_IP);
  expect(await rig.egresses()).toEqual(FROM_H2);
});

test("what makes them go past the proxy without a word", async () => {
  const http_proxy = rig.proxyUrl("http");
  const url = rig.cluster.originUrl("/seen");
  for (const client of ["urllib", "requests"]) {
    expect(addressIn(await ask(client, url, { https_proxy: http_proxy }))).toBe("127.0.0.1");
    for (const no_proxy of ["*", "127.0.0.20"]) {
      expect(addressIn(await ask(client, url, { http_proxy, no_proxy }))).toBe("127.0.0.1");
    }
  }
  // urllib knows no all_proxy, and in a CGI script no HTTP_PROXY; only requests knows ranges.
  expect(addressIn(await ask("urllib", url, { all_proxy: http_proxy }))).toBe("127.0.0.1");
  const cgi = { HTTP_PROXY: http_proxy, REQUEST_METHOD: "GET" };
  expect(addressIn(await ask("urllib", url, cgi))).toBe("127.0.0.1");
  const range = { http_proxy, no_proxy: "127.0.0.0/24" };
  expect(addressIn(await ask("requests", url, range))).toBe("127.0.0.1");
  expect(await rig.egresses()).toEqual(DIRECT);
  expect(addressIn(await ask("urllib", url, range))).toBe(EGRESS_IP);
  expect(await rig.egresses()).toEqual(FROM_H1);
});

test("urllib has no SOCKS: it says so for http, and for https it asks by CONNECT on the same port", async () => {
  const socks = rig.proxyUrl("socks5h");
  const { fault } = await ask("urllib", rig.named("/seen"), { http_proxy: socks });
  expect(fault).toContain("unknown url type: socks5h");
  expect(await rig.egresses()).toEqual([]);
  expect(addressIn(await ask("urllib", rig.secure("/"), { https_proxy: socks }))).toBe(EGRESS_IP);
  expect(await rig.egresses()).toEqual(FROM_H1);
});

test("at the end nothing is held", async () => {
  expect(addressIn(await ask("requests", rig.named("/seen"), { http_proxy: rig.proxyUrl("http") }))).toBe(
    EGRESS_IP,
  );
  await rig.untilNothingIsHeld();
  expect(await rig.egresses()).toEqual(FROM_H1);
});

/**
 * Every spelling of a destination, by every way that traffic takes through a host: no private place is
 * reached, whose listeners are real, and no public one is refused for being private, which is seen by the address
 * that is then dialled.
 */
import { createServer, type Server } from "node:net";
import { createSocket, type Socket as DatagramSocket } from "node:dgram";
import { once } from "node:events";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { EgressFault } from "../../src/agent/egress/faults.ts";
import { exchangeBytes, type Origin, startOrigin } from "../agent/gateway-rig.ts";
import { ByteClient, type ProxyRig, startProxyRig } from "../agent/proxy-rig.ts";
import { startUdpRig, type UdpRig } from "../agent/udp-rig.ts";
import { AddressRules } from "../../src/policy/address-rules.ts";
import { DestinationPolicy } from "../../src/policy/destination-policy.ts";
import { UdpDestinations } from "../../src/agent/traffic/socks/udp-destinations.ts";
import { RECORDS, type Spelling, SPELLINGS, trickyUrls } from "./spellings.ts";
import {
  CARRIER_UPGRADE,
  codeIn,
  connectTarget,
  datagramTo,
  fetchTarget,
  headOf,
  isLiteral,
  POLICY_CODES,
  socksAddress,
  socksCode,
  socksName,
  UPGRADE,
  withoutBrackets,
} from "./ways.ts";

/** Where the redirecting origin listens: the one place that is allowed. */
const REDIRECTING = "127.0.0.20";

interface Host {
  readonly rig: ProxyRig;
  /** What was dialled. */
  readonly dialled: string[];
}

/** Listens at private addresses, for TCP and UDP, and counts who comes. */
class PrivatePlaces {
  reachedCount = 0;
  port = 0;
  readonly #servers: Server[] = [];
  readonly #sockets: DatagramSocket[] = [];

  async listen(): Promise<void> {
    for (const ip of ["127.0.0.1", "127.0.0.2", "::1"]) {
      const server = createServer((socket) => {
        this.reachedCount += 1;
        socket.destroy();
      });
      server.listen(this.port, ip);
      await once(server, "listening");
      this.port = (server.address() as { port: number }).port;
      this.#servers.push(server);
      const socket = createSocket(ip.includes(":") ? { type: "udp6", ipv6Only: true } : { type: "udp4" });
      socket.on("message", () => (this.reachedCount += 1));
      socket.bind(this.port, ip);
      await once(socket, "listening");
      this.#sockets.push(socket);
    }
  }

  close(): void {
    for (const server of this.#servers) server.close();
    for (const socket of this.#sockets) socket.close();
  }
}

/** The resolvers' clock. */
let resolverMs = 0;
/** How often each of the names that change has been asked for: the first answer is public, the next is not, and so on. */
const askedFor = new Map<string, number>();
const WITH_CHANGING = new Proxy(RECORDS, {
  get: (records, name: string) => {
    if (!name.endsWith(".changing.test")) return records[name];
    const count = askedFor.get(name) ?? 0;
    askedFor.set(name, count + 1);
    return [count % 2 === 0 ? "8.8.8.8" : "127.0.0.1"];
  },
});

const places = new PrivatePlaces();
let four: Host;
let six: Host;
let redirecting: Origin;

async function startHost(egressIp: string): Promise<Host> {
  const rig = await startProxyRig({
    egressIp,
    allow: [`${REDIRECTING}/32`],
    records: WITH_CHANGING,
    connectTimeoutMs: 50,
    // Who waits is nobody here but a busy machine.
    dnsTimeoutMs: 10_000,
    resolverNow: () => resolverMs,
  });
  const dialled: string[] = [];
  rig.outgoing.dialler.onTry = (_from, { ip }) => {
    dialled.push(ip);
    // What is public is seen to be dialled, and that is all: nothing leaves the machine.
    if (!ip.startsWith("127.") && ip !== "::1") throw new EgressFault("destination-unroutable");
    return () => {};
  };
  return { rig, dialled };
}

beforeAll(async () => {
  await places.listen();
  four = await startHost("127.0.0.10");
  six = await startHost("::1");
  redirecting = await startOrigin((request, response) => {
    const to = new URL(request.url!, "http://origin").searchParams.get("to");
    // What no head can have leads nowhere, and neither does a location within this very origin.
    const isSendable = to !== null && !Array.from(to).some((sign) => sign < " " && sign !== "\t");
    if (isSendable) response.writeHead(302, { location: Buffer.from(to, "utf8").toString("latin1") });
    response.end();
  }, REDIRECTING);
});
afterAll(async () => {
  places.close();
  redirecting.close();
  await Promise.all([four.rig.close(), six.rig.close()]);
});

/** What one way makes of a whole URL: the code of its refusal. */
type ByUrl = (host: Host, url: string) => Promise<string | null>;
type ByPlace = (host: Host, name: string, port: number) => Promise<string | null>;

const bearer = ({ token }: ProxyRig): string => `egress-authorization: Bearer ${token}`;

const byGateway: ByUrl = async ({ rig }, url) => codeIn(await (await rig.fetch(url)).text());

const byRedirect: ByUrl = async ({ rig }, url) => {
  const from = `${redirecting.url}/?to=${encodeURIComponent(url)}`;
  const response = await rig.fetch(from, { headers: { "egress-redirect": "follow" } });
  return codeIn(await response.text());
};

const byWebSocket: ByUrl = async ({ rig }, url) => {
  const fields = ["host: gateway", ...UPGRADE, bearer(rig)];
  return codeIn(await exchangeBytes(rig.port, headOf("GET", fetchTarget(url), fields)));
};

const byProxy: ByUrl = async ({ rig }, url) =>
  codeIn(await exchangeBytes(rig.proxyPort, headOf("GET", url, ["host: proxy", "connection: close"])));

const byCarriedTcp: ByPlace = async ({ rig }, name, port) => {
  const fields = ["host: gateway", ...CARRIER_UPGRADE, bearer(rig)];
  return codeIn(await exchangeBytes(rig.port, headOf("GET", connectTarget(name, port), fields)));
};

const byConnect: ByPlace = async ({ rig }, name, port) =>
  codeIn(await exchangeBytes(rig.proxyPort, headOf("CONNECT", `${name}:${port}`, ["host: proxy"])));

async function bySocks({ rig }: Host, place: Buffer): Promise<string | null> {
  const client = new ByteClient(rig.proxyPort);
  client.write(Buffer.from([5, 1, 0]));
  await client.take(2);
  client.write(Buffer.concat([Buffer.from([5, 1, 0]), place]));
  const reply = await client.take(2);
  client.socket.destroy();
  return socksCode(reply[1]!);
}

const bySocksName: ByPlace = (host, name, port) => bySocks(host, socksName(name, port));
const bySocksAddress: ByPlace = (host, name, port) => bySocks(host, socksAddress(name, port));

/** Of the family that the spelling's address is, so that it can be dialled. */
function hostFor({ host, dials }: Spelling): Host {
  return (dials ?? host).includes(":") ? six : four;
}

/** Whether a way that takes hosts and ports by themselves reads this one as the URL standard does. */
function isPlain({ isOfUrls }: Spelling): boolean {
  return !isOfUrls;
}

async function expectRightly(
  spelling: Spelling,
  host: Host,
  isRead: boolean,
  ask: () => Promise<string | null>,
): Promise<void> {
  const { host: written, dials } = spelling;
  host.dialled.length = 0;
  const code = await ask();
  const dialled = host.dialled.filter((ip) => ip !== REDIRECTING);
  const told = `${written}: ${code}, dialled ${dialled.join()}`;
  // Whatever it is, nothing private answers, and there is no answer without a name.
  expect(code, told).not.toBeNull();
  if (dials === null) expect(dialled, told).toEqual([]);
  else if (isRead) expect([...new Set(dialled)], told).toEqual([dials]);
  if (dials !== null) expect(POLICY_CODES, told).not.toContain(code);
  else if (isRead && URL.canParse(`http://${written}/`))
    expect(code, told).toMatch(/prohibited|dns-error|invalid|socks-4/);
  expect(places.reachedCount, told).toBe(0);
}

test("[DE1] [DE2] there are more than 400 of them, all different", () => {
  expect(new Set(SPELLINGS.map(({ host }) => host)).size).toBeGreaterThan(400);
});

test("[DE1] the private places can be reached, by who is not kept from it", async () => {
  const listening = new PrivatePlaces();
  await listening.listen();
  const allowed = await startProxyRig({ allow: ["127.0.0.1/32"] });
  await allowed.fetch(`http://127.0.0.1:${listening.port}/`);
  expect(listening.reachedCount).toBe(1);
  listening.close();
  await allowed.close();
});

describe("by a whole URL", () => {
  test.each<[string, ByUrl]>([
    ["the gateway", byGateway],
    ["a redirect", byRedirect],
    ["a WebSocket", byWebSocket],
    ["the proxy", byProxy],
  ])(
    "[DE1] [DE2] [DE4] %s",
    async (way, ask) => {
      for (const spelling of SPELLINGS) {
        const host = way === "a redirect" ? four : hostFor(spelling);
        const isRead = way !== "a redirect" || host === hostFor(spelling);
        // Bytes beyond ASCII in a request's target are nobody's to decode.
        const isSent = way !== "the proxy" || /^[\x21-\x7e]+$/.test(spelling.host);
        await expectRightly(spelling, host, isRead && isSent, () =>
          ask(host, `http://${spelling.host}:${places.port}/`),
        );
      }
      expect(places.reachedCount).toBe(0);
    },
    60_000,
  );

  test.each<[string, ByUrl]>([
    ["the gateway", byGateway],
    ["a redirect", byRedirect],
    ["a WebSocket", byWebSocket],
    ["the proxy", byProxy],
  ])(
    "[DE1] [DE11] %s, with URLs that readers disagree on",
    async (_way, ask) => {
      for (const ip of ["127.0.0.1", "127.0.0.2", "[::1]", "0177.0.0.1"]) {
        for (const url of trickyUrls(`${ip}:${places.port}`)) {
          for (const host of [four, six]) {
            host.dialled.length = 0;
            await ask(host, url);
            expect(
              host.dialled.filter(
                (dialled) => dialled !== REDIRECTING && !RECORDS["public.test"]!.includes(dialled),
              ),
              url,
            ).toEqual([]);
            expect(places.reachedCount, url).toBe(0);
          }
        }
      }
    },
    60_000,
  );
});

test("[DE4] of a name that changes its answer what was judged is dialled, each time", async () => {
  const names = Array.from({ length: 20 }, (_, at) => `n${at}.changing.test`);
  const ask = (name: string): Promise<string | null>[] => [
    byGateway(four, `http://${name}:${places.port}/`),
    byProxy(four, `http://${name}:${places.port}/`),
    byConnect(four, name, places.port),
    bySocksName(four, name, places.port),
  ];
  const seen = new Set<string | null>();
  four.dialled.length = 0;
  for (let round = 0; round < 4; round += 1) {
    for (const code of await Promise.all(names.flatMap(ask))) seen.add(code);
    // Every answer is forgotten.
    resolverMs += 3_600_000;
  }
  expect(Math.min(...names.map((name) => askedFor.get(name) ?? 0))).toBe(4);
  expect(new Set(four.dialled)).toEqual(new Set(["8.8.8.8"]));
  expect(seen).toEqual(new Set(["destination-prohibited", "destination-unroutable", "socks-3"]));
  expect(places.reachedCount).toBe(0);
}, 30_000);

describe("by a host and a port", () => {
  test.each<[string, ByPlace, (spelling: Spelling) => boolean]>([
    ["a TCP connection over a WebSocket", byCarriedTcp, isPlain],
    ["CONNECT", byConnect, isPlain],
    ["SOCKS5 by name", bySocksName, isPlain],
  ])(
    "[DE1] [DE2] [DE4] %s",
    async (_way, ask, isRead) => {
      for (const spelling of SPELLINGS) {
        const host = hostFor(spelling);
        await expectRightly(spelling, host, isRead(spelling), () => ask(host, spelling.host, places.port));
      }
      expect(places.reachedCount).toBe(0);
    },
    60_000,
  );

  test("[DE1] [DE2] SOCKS5 by address", async () => {
    const literals = SPELLINGS.filter(({ host }) => isLiteral(host));
    expect(literals.length).toBeGreaterThan(200);
    for (const spelling of literals) {
      const host = hostFor(spelling);
      await expectRightly(spelling, host, true, () => bySocksAddress(host, spelling.host, places.port));
    }
  }, 60_000);
});

describe("by UDP", () => {
  let udp: Record<4 | 6, UdpRig>;
  beforeAll(async () => {
    const policy = (): DestinationPolicy => new DestinationPolicy({ addresses: new AddressRules() });
    udp = {
      4: await startUdpRig({ egressIp: "127.0.0.18", records: RECORDS, policy: policy() }),
      6: await startUdpRig({ egressIp: "::1", records: RECORDS, policy: policy() }),
    };
  });
  afterAll(() => {
    for (const rig of Object.values(udp)) rig.close();
  });

  test("[DE1] [DE2] [DE4] each datagram, by address and by name", async () => {
    const client = createSocket("udp4");
    const associations = { 4: await udp[4].opened(), 6: await udp[6].opened() };
    for (const spelling of SPELLINGS.filter(({ dials }) => dials === null)) {
      const written = withoutBrackets(spelling.host);
      const { relayPlace, tally } = associations[written.includes(":") ? 6 : 4];
      const dropCount = (): number =>
        Object.values(tally.describe().drops).reduce((sum, count) => sum + count, 0);
      const before = dropCount();
      client.send(datagramTo(written, places.port, "x"), relayPlace.port, relayPlace.ip);
      await expect.poll(dropCount, { timeout: 5_000, interval: 1 }).toBe(before + 1);
      expect(tally.sentCount, written).toBe(0);
    }
    expect(places.reachedCount).toBe(0);
    client.close();
  }, 60_000);

  test("[DE1] [DE2] [DE4] public places by address and by name, which nothing is sent to here", async () => {
    const policy = new DestinationPolicy();
    const open = SPELLINGS.filter(({ dials }) => dials !== null);
    expect(open.length).toBeGreaterThan(90);
    for (const spelling of open) {
      const isSix = spelling.dials?.includes(":") === true;
      const destinations = new UdpDestinations(four.rig.resolver, policy, isSix ? "::1" : "127.0.0.18");
      const found = await destinations.find({ host: withoutBrackets(spelling.host), port: 53 }, true);
      if (isPlain(spelling)) expect(found, spelling.host).toEqual({ ok: true, value: spelling.dials });
      else if (!found.ok) expect(POLICY_CODES, spelling.host).not.toContain(found.refusal);
    }
  });
});

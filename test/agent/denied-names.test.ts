/** Names that lists refuse: no name server hears of them, for a question carries something out, too. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { DEFAULT_POOL_POLICY } from "../../src/core/pool-policy.ts";
import { termFrom } from "../../src/core/lease-term.ts";
import { UdpDestinations } from "../../src/agent/traffic/socks/udp-destinations.ts";
import { readClock } from "../../src/process/clock.ts";
import { DestinationPolicy } from "../../src/policy/destination-policy.ts";
import { type ProxyRig, readHead, startProxyRig } from "./proxy-rig.ts";
import { exchangeBytes } from "./gateway-rig.ts";

const RULES = { mode: "enforce" as const, allow: ["*.good.test"], deny: ["bad.good.test"] };
const asked: string[] = [];
let rig: ProxyRig;

beforeAll(async () => {
  const records = new Proxy<Record<string, readonly string[]>>(
    {},
    {
      get: (_records, name: string) => {
        asked.push(name);
        return ["127.0.0.1", "::1"];
      },
    },
  );
  rig = await startProxyRig({ records });
  // With both families a host asks for a name before it chooses an address.
  const six = rig.binder.addAddress("::1");
  six.addBlock({ base: 20_480, order: 6, epoch: 1 });
  six.setTerm(termFrom(readClock(), 3_600_000));
  rig.tenants.take({ ...DEFAULT_POOL_POLICY, version: 1, destinations: RULES });
});
afterAll(async () => {
  rig.binder.removeAddress("::1");
  await rig.close();
});

test.each([
  ["secret.elsewhere.test", "destination-not-allowed", "not on the pool's list of allowed destinations"],
  ["bad.good.test", "destination-denied", "denied by bad.good.test on the pool's list"],
  ["good.test", "destination-not-allowed", "not on the pool's list of allowed destinations"],
])(
  "[DE12] [DE13] %s is refused by name everywhere, and nobody is asked for it",
  async (name, code, reason) => {
    const response = await rig.fetch(`http://${name}:9/`);
    expect(response.status).toBe(403);
    expect(await response.json()).toMatchObject({ code, detail: `${name} is ${reason}.` });
    expect(response.headers.get("proxy-status")).toContain("error=http_request_denied");
    const tunnel = await exchangeBytes(
      rig.proxyPort,
      `CONNECT ${name}:9 HTTP/1.1\r\nhost: ${name}:9\r\n\r\n`,
    );
    expect(readHead(tunnel).status).toBe(403);
    expect(tunnel).toContain(`"code":"${code}"`);
    const policy = new DestinationPolicy({ pool: RULES });
    const udp = new UdpDestinations(rig.resolver, policy, "127.0.0.10");
    expect(await udp.find({ host: name, port: 9 }, true)).toEqual({ ok: false, refusal: code });
    expect(asked).toEqual([]);
  },
);

test("[DE13] a name that may be on a list is asked for", async () => {
  const response = await rig.fetch("http://fine.good.test:9/");
  expect(await response.json()).toMatchObject({ code: "connection-refused" });
  expect(asked).toContain("fine.good.test");
});

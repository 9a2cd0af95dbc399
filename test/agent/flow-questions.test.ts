/** Who may ask a host for its flows, and what it takes. */
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, expect, test } from "vitest";
import { Admission } from "../../src/agent/admission/admission.ts";
import { DestinationPolicy } from "../../src/policy/destination-policy.ts";
import { Dialler } from "../../src/agent/egress/dial.ts";
import { PortBinder } from "../../src/agent/egress/port-binder.ts";
import { Resolver } from "../../src/agent/egress/resolver.ts";
import { TenantBook } from "../../src/agent/tenants/tenant-book.ts";
import { Gateway } from "../../src/agent/traffic/gateway/gateway.ts";
import { Outgoing } from "../../src/agent/traffic/origins/outgoing.ts";
import type { Identity } from "../../src/core/identity.ts";
import type { FlowAnswer, FlowQuestion } from "../../src/wire/flow-answer.ts";
import { generateKey, publicPart } from "../../src/wire/keys.ts";
import { signToken, TokenVerifier } from "../../src/wire/tokens.ts";
import { eventually } from "./gateway-rig.ts";

const ANSWER: FlowAnswer = {
  level: "blocks",
  destinations: false,
  sinceMs: 1,
  flows: [],
  ended: [],
  blocks: [],
  translations: [],
  isComplete: true,
};
const edge = await generateKey("edge");
const issuer = await generateKey("issuer");

let gateway: Gateway;
let resolver: Resolver;
let url: string;
let asked: FlowQuestion[];
let answering: Promise<FlowAnswer>;

beforeEach(async () => {
  const verifier = new TokenVerifier({ keys: [publicPart(edge), publicPart(issuer)] });
  const binder = new PortBinder();
  const tenants = new TenantBook(() => new DestinationPolicy());
  resolver = new Resolver({ servers: ["127.0.0.1:1"] });
  asked = [];
  answering = Promise.resolve(ANSWER);
  gateway = new Gateway({
    host: "h1",
    admission: new Admission({ pool: "main", binder, tenants, verifier }),
    binder,
    outgoing: new Outgoing(new Dialler(resolver, { connectTimeoutMs: 1, portWaitMs: 0 })),
    flowsAt: (question) => {
      asked.push(question);
      return answering;
    },
    onFault: () => {},
  });
  gateway.server.listen(0, "127.0.0.1");
  await once(gateway.server, "listening");
  url = `http://127.0.0.1:${(gateway.server.address() as AddressInfo).port}/v1/flows`;
});
afterEach(() => {
  gateway.server.closeAllConnections();
  gateway.server.close();
  resolver.close();
});

const QUERY = "ip=192.0.2.1&port=5312&at=1795953787000";

async function ask(identity: Partial<Identity> = {}, query = QUERY, key = edge): Promise<Response> {
  const token = await signToken(
    { role: "attribution", subject: "h1", pools: ["main"], expiresAtMs: Date.now() + 60_000, ...identity },
    key,
  );
  return fetch(`${url}?${query}`, { headers: { "egress-authorization": `Bearer ${token}` } });
}

async function codeOf(response: Response): Promise<string> {
  return ((await response.json()) as { code: string }).code;
}

test("[AT6] the edge is answered that asks with a token for this host", async () => {
  const response = await ask();
  expect(await response.json()).toEqual(ANSWER);
  await ask({}, `${QUERY}&protocol=udp&destination=203.0.113.5:53`);
  const question = {
    ip: "192.0.2.1",
    port: 5_312,
    atMs: 1_795_953_787_000,
    throughMs: 1_795_953_787_000,
    protocol: null,
    destination: null,
  };
  await ask({}, `${QUERY}&through=1795953787999`);
  expect(asked).toEqual([
    question,
    { ...question, protocol: "udp", destination: "203.0.113.5:53" },
    { ...question, throughMs: 1_795_953_787_999 },
  ]);
});

test("[AT6] nobody else is", async () => {
  expect(await codeOf(await fetch(`${url}?${QUERY}`))).toBe("token-missing");
  // What one host was shown is worth nothing at another.
  expect(await codeOf(await ask({ subject: "h2" }))).toBe("role-denied");
  expect(await codeOf(await ask({ pools: ["other"] }))).toBe("pool-denied");
  expect(await codeOf(await ask({ expiresAtMs: Date.now() - 1_000 }))).toBe("token-expired");
  for (const role of ["client", "host", "router", "admin"] as const) {
    expect(await codeOf(await ask({ role }, QUERY, issuer))).toBe("role-denied");
  }
  expect(await codeOf(await ask({ role: "gateway" }))).toBe("role-denied");
  expect(asked).toEqual([]);
});

test("[ID1] an issuer's key makes no such token", async () => {
  expect(await codeOf(await ask({}, QUERY, issuer))).toBe("token-signature-invalid");
});

test.each([
  "",
  "ip=192.0.2.1&port=5312",
  "ip=192.0.2.1&at=1",
  "ip=here&port=1&at=1",
  "ip=192.0.2.1&port=65536&at=1",
  "ip=192.0.2.1&port=1&at=now",
  "ip=192.0.2.1&port=1&at=99999999999999999",
  `${QUERY}&through=later`,
  `${QUERY}&through=1795953786999`,
  `${QUERY}&through=1795953788000`,
  `${QUERY}&protocol=icmp`,
  `${QUERY}&destination=${"x".repeat(65)}`,
])("[AT6] a question that is none is refused: %j", async (query) => {
  const response = await ask({}, query);
  expect([response.status, await codeOf(response)]).toEqual([400, "input-invalid"]);
});

test("[AT6] a host answers few at a time, lets some wait, and refuses the rest", async () => {
  const { promise, resolve } = Promise.withResolvers<FlowAnswer>();
  answering = promise;
  const refused: string[] = [];
  const responses = Array.from({ length: 70 }, async () => {
    const response = await ask();
    if (response.status !== 200) refused.push(await codeOf(response));
    return response.status;
  });
  await eventually(() => refused.length === 4, "four are refused");
  expect(new Set(refused)).toEqual(new Set(["attribution-busy"]));
  expect(asked).toHaveLength(2);
  resolve(ANSWER);
  expect((await Promise.all(responses)).filter((status) => status === 200)).toHaveLength(66);
});

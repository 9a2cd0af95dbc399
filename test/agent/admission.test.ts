/** What admits a flow, whichever listener asks, and what is known of the flow from then on. */
import { PassThrough } from "node:stream";
import { afterEach, beforeEach, expect, test } from "vitest";
import { TenantBook } from "../../src/agent/tenants/tenant-book.ts";
import { Admission } from "../../src/agent/admission/admission.ts";
import { DEFAULT_POOL_POLICY, NO_LIMITS, type PoolPolicy, UNRESTRICTED } from "../../src/core/pool-policy.ts";
import { DestinationPolicy } from "../../src/policy/destination-policy.ts";
import { problemOf } from "../../src/agent/egress/faults.ts";
import { logFields } from "../../src/agent/egress/flow-context.ts";
import { PortBinder } from "../../src/agent/egress/port-binder.ts";
import type { Identity } from "../../src/core/identity.ts";
import { ok, refuse } from "../../src/core/outcome.ts";
import { generateKey, publicPart } from "../../src/wire/keys.ts";
import { signToken, TokenVerifier } from "../../src/wire/tokens.ts";
import { type Rig, startOrigin, startRig } from "./gateway-rig.ts";

const IP = "192.0.2.1";
const WAY = { role: "gateway", hint: "Ask the edge." } as const;
const DESTINATION = { hostname: "example.com" };
const FLOW = { kind: "request", until: new PassThrough(), flow: { fail: () => {} } } as const;

let binder: PortBinder;
let tenants: TenantBook;
let verifier: TokenVerifier;
let admission: Admission;
let policy: DestinationPolicy;
let readCount: number;
let tokenFor: (identity: Partial<Identity>) => Promise<string>;

beforeEach(async () => {
  binder = new PortBinder();
  const ports = binder.addAddress(IP);
  ports.addBlock({ base: 4096, order: 6, epoch: 1 });
  ports.setTerm({ monotonicEndMs: Infinity, wallEndMs: Infinity });
  const edge = await generateKey("edge");
  policy = new DestinationPolicy();
  verifier = new TokenVerifier({ keys: [publicPart(edge)] });
  tenants = new TenantBook(() => policy);
  admission = new Admission({ pool: "main", binder, tenants, verifier });
  readCount = 0;
  tokenFor = (identity) =>
    signToken(
      { role: "gateway", subject: "shop", pools: ["main"], expiresAtMs: Date.now() + 60_000, ...identity },
      edge,
    );
});
afterEach(() => binder.removeAddress(IP));

async function ask(token: string, selection: string | null = null) {
  const client = await admission.identify(ok(token), WAY);
  const destination = () => {
    readCount += 1;
    return ok(DESTINATION);
  };
  return admission.admit({ client, selection, destination, flow: FLOW });
}

test("[GW7] a flow is known by the client of its token, its pool, its address and a number of its own", async () => {
  const token = await tokenFor({});
  const first = await ask(token);
  const second = await ask(await tokenFor({ subject: "office" }), `ip="${IP}"`);
  const shared = { pool: "main", address: binder.address(IP), policy, clientAddress: null };
  expect(first).toMatchObject({ ok: true, value: { destination: DESTINATION } });
  expect(first.ok && first.value.context).toMatchObject({ ...shared, id: 1, tenant: "shop", client: "shop" });
  expect(second.ok && second.value.context).toMatchObject({
    ...shared,
    id: 2,
    tenant: "office",
    client: "office",
  });
  expect(first.ok && logFields(first.value.context)).toEqual({
    flow: 1,
    tenant: "shop",
    client: "shop",
    pool: "main",
    ip: IP,
  });
});

test("[GW7] a token that is known, and a flow that leaves nothing to find out, are admitted at once", async () => {
  const token = await tokenFor({});
  await ask(token);
  const client = admission.identify(ok(token), WAY);
  expect(client).toMatchObject({ ok: true, value: { subject: "shop" } });
  if (client instanceof Promise) throw new Error("The token should be known.");
  expect(
    admission.admit({ client, selection: null, destination: () => ok(DESTINATION), flow: FLOW }),
  ).toMatchObject({
    ok: true,
  });
});

test("[GW7] who may not ask is refused, and where it wanted to go is not even read", async () => {
  const detail = "The gateway role is required, not client. Ask the edge.";
  const refused = { ok: false, refusal: { code: "token-signature-invalid" } };
  expect(await ask(`${await tokenFor({})}x`)).toMatchObject(refused);
  expect(await ask(await tokenFor({ pools: ["other"] }))).toEqual(refuse({ code: "pool-denied" }));
  const unread = await admission.identify(refuse({ code: "token-missing", detail: "Say who." }), WAY);
  expect(
    admission.admit({ client: unread, selection: null, destination: () => ok(DESTINATION), flow: FLOW }),
  ).toEqual(refuse({ code: "token-missing", detail: "Say who." }));
  expect(readCount).toBe(0);
  const rig = await startRig();
  const own = await rig.admission.identify(ok(await rig.tokenFor("client")), WAY);
  expect(own).toEqual(refuse({ code: "role-denied", detail }));
  await rig.close();
});

test("[GW8] a host that drains admits nothing; what the listener says of the destination, and the address, come after", async () => {
  const token = await tokenFor({});
  const malformed = refuse({ code: "url-malformed" } as const);
  const client = await admission.identify(ok(token), WAY);
  const asked = { client, selection: "pool=other", destination: () => malformed, flow: FLOW };
  expect(await admission.admit(asked)).toEqual(malformed);
  expect(await ask(token, "pool=other")).toMatchObject({ refusal: { code: "pool-unknown" } });
  expect(await ask(token, 'ip="192.0.2.9"')).toMatchObject({ refusal: { code: "lease-lost" } });
  admission.isDraining = true;
  expect(await admission.admit(asked)).toEqual(refuse({ code: "draining" }));
});

test("[GW11] a fault that nobody foresaw is told with the flow that it ended", async () => {
  const rig: Rig = await startRig();
  const origin = await startOrigin((_request, response) => response.end("well"));
  rig.outgoing.to = () => {
    throw new Error("a bug");
  };
  expect((await rig.fetch(origin.url)).status).toBe(500);
  expect(rig.faults).toMatchObject([{ message: "a bug" }]);
  expect(rig.faultyFlows).toMatchObject([{ client: "test", pool: "main", address: { ip: "127.0.0.10" } }]);
  await rig.close();
  origin.close();
});

function limited(tunnels: number, more: Partial<PoolPolicy> = {}): PoolPolicy {
  const anyTenant = { ...UNRESTRICTED, limits: { ...NO_LIMITS, tunnels } };
  return { ...DEFAULT_POOL_POLICY, version: 1, anyTenant, ...more };
}

test.each([
  ["token-revoked", limited(10, { revoked: [{ tokenId: "bad", expiresAtMs: Infinity }] })],
  ["tenant-denied", limited(10, { anyTenant: null })],
])("[LI8] [LI14] who waits for a share is judged again when it has come: %s", async (code, policyThen) => {
  tenants.take(limited(10));
  // So far this host knows of no share, and has none.
  tenants.meters.shareWithOthers(false);
  const client = await admission.identify(ok(await tokenFor({ tokenId: "bad" })), WAY);
  const until = new PassThrough();
  const asked = { client, selection: null, destination: () => ok(DESTINATION) };
  const tunnel = { kind: "tunnel", until, flow: { fail: () => {} } } as const;
  const admitting = admission.admit({ ...asked, flow: tunnel });
  expect(admitting).toBeInstanceOf(Promise);
  tenants.take(policyThen);
  tenants.meters.takeShare({ number: 1, members: 1, tenants: [{ tenant: "shop", share: { tunnels: 10 } }] });
  expect(await admitting).toMatchObject({ ok: false, refusal: { code } });
  until.destroy();
});

test("[EL4] [LI8] what runs by tokens of a key that is retired is ended, and nothing else", async () => {
  const keys = await Promise.all([generateKey("issuer"), generateKey("issuer"), generateKey("edge")]);
  const [former, present, edge] = keys;
  verifier.trust({ keys: keys.map(publicPart) });
  const ended: string[] = [];
  for (const [name, role, key] of [
    ["former", "client", former],
    ["present", "client", present],
    ["gateway", "gateway", edge],
  ] as const) {
    const identity = { role, subject: name, pools: ["main"], expiresAtMs: Date.now() + 60_000 };
    const client = await admission.identify(ok(await signToken(identity, key)), { role, hint: null });
    const flow = {
      kind: "tunnel",
      until: new PassThrough(),
      flow: { fail: (fault: unknown) => ended.push(`${name} ${problemOf(fault).code}`) },
    } as const;
    const asked = { client, selection: null, destination: () => ok(DESTINATION), flow };
    expect(await admission.admit(asked)).toMatchObject({ ok: true });
  }
  verifier.trust({ keys: [publicPart(present), publicPart(edge)] });
  // What an edge's key signs ends by itself, and its exchange must not end all tunnels. [TK7]
  verifier.trust({ keys: [publicPart(present)] });
  expect(ended).toEqual(["former token-signature-invalid"]);
});

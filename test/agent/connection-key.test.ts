/** Which flows may share a connection to an origin. */
import { expect, test } from "vitest";
import { UNMETERED, UNWATCHED } from "../../src/agent/egress/flow-use.ts";
import { AddressPorts } from "../../src/agent/egress/address-ports.ts";
import { AddressRules } from "../../src/policy/address-rules.ts";
import { DestinationPolicy } from "../../src/policy/destination-policy.ts";
import type { EgressContext, FlowContext } from "../../src/agent/egress/flow-context.ts";
import { connectionKey } from "../../src/agent/traffic/origins/connection-key.ts";
import { startOrigin, startRig } from "./gateway-rig.ts";

const ORIGIN = "https://example.com";
const CONTEXT: EgressContext = {
  pool: "main",
  tenant: "shop",
  address: new AddressPorts("192.0.2.1"),
  policy: new DestinationPolicy(),
  meter: UNMETERED,
};
/** Another value of every part; the compiler asks for one of each. */
const OTHERS: EgressContext = {
  pool: "other",
  tenant: "office",
  address: new AddressPorts("192.0.2.2"),
  policy: new DestinationPolicy({ addresses: new AddressRules({ denied: ["198.51.100.0/24"] }) }),
  meter: { ...UNMETERED },
};

/** Whose meter counts follows from the tenant. */
const PARTS = Object.keys(OTHERS).filter((part) => part !== "meter") as (keyof EgressContext)[];

test.each(PARTS)("[OR33] flows that differ in their %s share no connection", (part) => {
  const other = { ...CONTEXT, [part]: OTHERS[part] };
  expect(connectionKey(other, ORIGIN)).not.toBe(connectionKey(CONTEXT, ORIGIN));
});

test("[OR33] nor do flows to different origins, whatever a pool is called", () => {
  expect(connectionKey(CONTEXT, "http://example.com")).not.toBe(connectionKey(CONTEXT, ORIGIN));
  const spaced = { ...CONTEXT, pool: `main ${ORIGIN}` };
  expect(connectionKey(spaced, ORIGIN)).not.toBe(connectionKey(CONTEXT, ORIGIN));
  const one = { ...CONTEXT, pool: "a b", tenant: "c" };
  expect(connectionKey(one, ORIGIN)).not.toBe(connectionKey({ ...one, pool: "a", tenant: " bc" }, ORIGIN));
  expect(connectionKey(one, ORIGIN)).not.toBe(connectionKey({ ...one, pool: "a ", tenant: "bc" }, ORIGIN));
});

test("[OR33] an address that was given up and taken back is another, though it reads the same", () => {
  const again = { ...CONTEXT, address: new AddressPorts(CONTEXT.address.ip) };
  expect(connectionKey(again, ORIGIN)).not.toBe(connectionKey(CONTEXT, ORIGIN));
});

test("[OR33] flows of different clients of a tenant share one, and the key stays the same", () => {
  const flow = (id: number, client: string): FlowContext => ({
    ...CONTEXT,
    id,
    client,
    clientAddress: `192.0.2.${id}`,
    requestId: null,
    running: UNWATCHED,
  });
  expect(connectionKey(flow(1, "shop"), ORIGIN)).toBe(connectionKey(flow(2, "office"), ORIGIN));
});

test("[OR33] connections of one pool, address, tenant and policy are found again by the next flow, and by no other", async () => {
  const rig = await startRig();
  const origin = await startOrigin((_request, response) => response.end("well"));
  await (await rig.fetch(origin.url)).text();
  const policy = new DestinationPolicy({ addresses: new AddressRules({ allowed: ["127.0.0.0/8"] }) });
  const found = rig.outgoing.to(
    { pool: "main", tenant: "test", address: rig.ports, policy, meter: UNMETERED },
    new URL(origin.url).origin,
  );
  expect(found.size).toBe(0);
  expect(rig.outgoing.size).toBe(1);
  await rig.close();
  origin.close();
});

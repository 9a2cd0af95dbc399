/** Tenants' limits, shared out among the hosts of a pool by what they use. */
import { evictDurableObject, runInDurableObject } from "cloudflare:test";
import { afterEach, describe, expect, it, vi } from "vitest";
import { LAPSED_MS } from "../../durable-objects/pool/tenant-shares.ts";
import { tokenKey } from "../../src/core/share-messages.ts";
import { HostConnection, objects, type Reply } from "./objects.ts";

const GATEWAY = "http://127.0.0.1:8001";

afterEach(() => {
  vi.useRealTimers();
});

let count = 0;

async function poolOf(hostCount: number, limits: object) {
  count += 1;
  const stub = objects.EGRESS_POOL.getByName(`shares-${count}`);
  await stub.configure({ hostSilenceMs: 60_000, leaseDurationMs: 600_000 });
  await stub.changePolicy({ anyTenant: { limits } }, null);
  const hosts: HostConnection[] = [];
  for (let number = 1; number <= hostCount; number += 1) hosts.push(await enlisted(stub, `h${number}`));
  return { stub, hosts };
}

async function enlisted(stub: Parameters<typeof HostConnection.open>[0], name: string) {
  const host = await HostConnection.open(stub, name);
  await host.enlist(`instance-${name}`, GATEWAY);
  return host;
}

function use(host: HostConnection, number: number, used: object, wanted: object = used): void {
  host.send({ type: "use", number, tenants: [{ tenant: "shop", used, wanted }] });
}

/** What a host is told next of its shares. */
async function shares(host: HostConnection): Promise<Reply> {
  for (;;) {
    const reply = await host.next();
    if (reply["type"] === "shares") return reply;
  }
}

function tunnelsOf({ tenants }: Reply): number {
  return tenants.find(({ tenant }: Reply) => tenant === "shop").share.tunnels;
}

describe("hosts of a pool", () => {
  it.each([0, 1_000_000])(
    "[LI3] [LI10] no host says what a tenant may have by giving its name a rate: %d",
    async (rate) => {
      const { hosts } = await poolOf(1, { tunnels: 100, requestsPerSecond: 50 });
      const [used, wanted] = [{ tunnels: 3 }, { tunnels: 90, requestsPerSecond: 1_000 }];
      hosts[0]!.send({ type: "use", number: 0, tenants: [{ tenant: "shop", used, wanted, rate }] });
      const told = await shares(hosts[0]!);
      expect(told["tenants"]).toEqual([{ tenant: "shop", share: { tunnels: 100, requestsPerSecond: 50 } }]);
    },
  );

  it("[LI3] a token's rate is what its key says, whatever a host says beside it", async () => {
    const { hosts } = await poolOf(1, { tunnels: 100 });
    const amounts = { requestsPerSecond: 1_000 };
    const uses = [tokenKey("t1", "shop", 5), "\n[]", "\nnonsense"].map((tenant) => {
      return { tenant, used: amounts, wanted: amounts, rate: 1_000 };
    });
    hosts[0]!.send({ type: "use", number: 0, tenants: uses });
    const told = await shares(hosts[0]!);
    expect(told["tenants"]).toEqual([{ tenant: uses[0]!.tenant, share: { requestsPerSecond: 5 } }]);
  });

  it("[LI10] the first that tells of a tenant has all of its limits, and answers by the number of the message", async () => {
    const { hosts } = await poolOf(1, { tunnels: 100 });
    use(hosts[0]!, 0, { tunnels: 3 });
    const told = await shares(hosts[0]!);
    expect(told).toMatchObject({ number: 1, members: 1 });
    expect(told["tenants"]).toEqual([{ tenant: "shop", share: expect.objectContaining({}) }]);
  });

  it("[LI11] a share is raised only when the other host has said that it knows of its own, also when the object was evicted between", async () => {
    const { stub, hosts } = await poolOf(2, { tunnels: 100 });
    const [one, two] = [hosts[0]!, hosts[1]!];
    use(one, 0, { tunnels: 90 });
    const first = await shares(one);
    use(one, first["number"], { tunnels: 90 });
    await evictDurableObject(stub);
    use(two, 0, { tunnels: 0 }, { tunnels: 60 });
    const lowered = await shares(one);
    expect(lowered["members"]).toBe(2);
    expect(tunnelsOf(lowered)).toBeLessThan(90);
    await evictDurableObject(stub);
    // It knows, and what it has is used on.
    use(one, lowered["number"], { tunnels: 70 }, { tunnels: 90 });
    const raised = await shares(two);
    expect(tunnelsOf(raised)).toBeLessThanOrEqual(30);
    use(one, lowered["number"], { tunnels: 50 }, { tunnels: 90 });
    use(two, raised["number"], { tunnels: tunnelsOf(raised) }, { tunnels: 60 });
    await vi.waitFor(async () => {
      const again = await shares(two);
      expect(tunnelsOf(again)).toBe(50);
    });
  });

  it("[LI11] a host that connects again is told again what it may have", async () => {
    const { stub, hosts } = await poolOf(1, { tunnels: 100, requestsPerSecond: 50 });
    use(hosts[0]!, 0, { tunnels: 9 });
    const before = await shares(hosts[0]!);
    const back = await HostConnection.open(stub, "h1");
    await back.enlist("instance-h1", GATEWAY);
    const again = await shares(back);
    expect(again["number"]).toBe(before["number"] + 1);
    expect(again["tenants"]).toEqual([{ tenant: "shop", share: { tunnels: 100, requestsPerSecond: 50 } }]);
  });

  it("[LI13] of a host that is gone the others get what it cannot be going by any more: its base stays, until its leases are over", async () => {
    vi.useFakeTimers({ toFake: ["Date"] });
    const { hosts } = await poolOf(2, { tunnels: 100 });
    const [one, two] = [hosts[0]!, hosts[1]!];
    use(one, 0, { tunnels: 20 });
    const first = await shares(one);
    use(two, 0, { tunnels: 0 }, { tunnels: 1 });
    const lowered = await shares(one);
    expect(lowered["number"]).toBe(first["number"] + 1);
    use(one, lowered["number"], { tunnels: 60 }, { tunnels: 60 });
    one.close();
    let known = 0;
    const most = async (afterMs: number): Promise<number> => {
      vi.setSystemTime(Date.now() + afterMs);
      use(two, known, { tunnels: 0 }, { tunnels: 100 });
      const told = await shares(two);
      known = told["number"];
      return tunnelsOf(told);
    };
    expect(await most(10_000)).toBeLessThanOrEqual(40);
    vi.setSystemTime(Date.now() + LAPSED_MS + 10_000);
    await vi.waitFor(async () => expect(await most(10_000)).toBe(75));
    await vi.waitFor(async () => expect(await most(800_000)).toBe(100));
  });

  it("[LI12] what is no use of a host that is enlisted is refused, and nothing is kept of it", async () => {
    const { stub } = await poolOf(0, { tunnels: 100 });
    const stranger = await HostConnection.open(stub, "h9");
    stranger.send({ type: "use", number: 0, tenants: [] });
    expect(await stranger.next()).toEqual({ type: "refused", code: "message-malformed" });
    const rows = await runInDurableObject(stub, (_object, state) =>
      state.storage.sql.exec("SELECT host FROM tenant_share").toArray(),
    );
    expect(rows).toEqual([]);
  });
});

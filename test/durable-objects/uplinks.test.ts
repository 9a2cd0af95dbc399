/** Hosts that reach nothing, and what the others of their address find. */
import { evictDurableObject } from "cloudflare:test";
import { afterEach, describe, expect, it, vi } from "vitest";
import { drawFrom } from "./object-address.ts";
import { HostConnection, objects, type Reply, RouterConnection } from "./objects.ts";

const GATEWAY = "http://127.0.0.1:8001";
const GOOD = { state: "good", destinationCount: 3, failedCount: 0, doubts: [] };
const DOUBT = { ip: "198.51.100.9", port: 443 };
const SUSPECT = { state: "suspect", destinationCount: 3, failedCount: 3, doubts: [DOUBT] };

afterEach(() => {
  vi.restoreAllMocks();
});

let count = 0;

async function poolOf(hostCount: number) {
  count += 1;
  const ip = `192.0.2.${count}`;
  const stub = objects.EGRESS_POOL.getByName(`uplink-${count}`);
  await stub.configure({ hostSilenceMs: 60_000 });
  await stub.addIp(ip, null);
  const hosts: HostConnection[] = [];
  for (let number = 1; number <= hostCount; number += 1) {
    const host = await HostConnection.open(stub, `h${number}`);
    await host.enlist(`instance-${number}`, GATEWAY);
    report(host, ip, GOOD);
    hosts.push(host);
  }
  const placed = async (): Promise<string[]> => {
    const placement = await stub.placement();
    if (!placement.ok) throw new Error(placement.refusal);
    return placement.value.ips.flatMap((at) => at.hosts.map(({ host }) => host));
  };
  const uplinks = async (): Promise<Reply> => {
    const answer = await stub.hosts();
    if (!answer.ok) throw new Error(answer.refusal);
    return Object.fromEntries(answer.value.map(({ host, uplink }) => [host, uplink]));
  };
  await vi.waitFor(async () => expect(await placed()).toHaveLength(hostCount));
  return { ip, stub, hosts, placed, uplinks };
}

function report(host: HostConnection, ip: string, uplink?: object): void {
  host.send({ type: "report", draining: false, rooms: [{ ip, portCount: 256, busiestCount: 3, uplink }] });
}

describe("a host that reaches nothing", () => {
  it("[UP2] [UP3] [UP4] is left out when another reaches what it cannot, and is back when it says so", async () => {
    const { ip, stub, hosts, placed, uplinks } = await poolOf(2);
    const [cut, other] = [hosts[0]!, hosts[1]!];
    report(cut, ip, SUSPECT);
    expect(await other.next()).toEqual({ type: "try", ip, places: [DOUBT] });
    expect(await placed()).toEqual(["h1", "h2"]);
    expect(await uplinks()).toEqual({ h1: "suspect", h2: "good" });
    await evictDurableObject(stub);
    other.send({ type: "tried", ip, reached: [DOUBT] });
    expect(await cut.next()).toEqual({ type: "ejected", ips: [ip] });
    expect(await placed()).toEqual(["h2"]);
    expect(await uplinks()).toEqual({ h1: "dead", h2: "good" });
    await evictDurableObject(stub);
    report(cut, ip, GOOD);
    expect(await cut.next()).toEqual({ type: "ejected", ips: [] });
    expect(await placed()).toEqual(["h1", "h2"]);
  });

  it("[UP3] is left out on the address whose way is dead, and stays on that of the other family", async () => {
    const { ip, stub, hosts } = await poolOf(2);
    const ipv6 = `2001:db8::${count}`;
    await stub.addIp(ipv6, null);
    const [cut, other] = [hosts[0]!, hosts[1]!];
    const tell = (host: HostConnection, uplink: object): void => {
      const rooms = [
        { ip, portCount: 256, busiestCount: 3, uplink: GOOD },
        { ip: ipv6, portCount: 256, busiestCount: 3, uplink },
      ];
      host.send({ type: "report", draining: false, rooms });
    };
    for (const host of hosts) expect(await host.next()).toMatchObject({ type: "enlisted" });
    tell(other, GOOD);
    const doubt = { ip: "2001:db8:1::9", port: 443 };
    tell(cut, { ...SUSPECT, doubts: [doubt] });
    expect(await other.next()).toEqual({ type: "try", ip: ipv6, places: [doubt] });
    other.send({ type: "tried", ip: ipv6, reached: [doubt] });
    expect(await cut.next()).toEqual({ type: "ejected", ips: [ipv6] });
    const placement = await stub.placement();
    if (!placement.ok) throw new Error(placement.refusal);
    const names = placement.value.ips.map((placed) => [placed.ip, placed.hosts.map(({ host }) => host)]);
    expect(Object.fromEntries(names)).toEqual({ [ip]: ["h1", "h2"], [ipv6]: ["h2"] });
  });

  it("[UP3] stays left out when it comes back on a new connection", async () => {
    const { ip, stub, hosts, placed } = await poolOf(2);
    const [cut, other] = [hosts[0]!, hosts[1]!];
    report(cut, ip, SUSPECT);
    await other.next();
    other.send({ type: "tried", ip, reached: [DOUBT] });
    expect(await cut.next()).toEqual({ type: "ejected", ips: [ip] });
    const back = await HostConnection.open(stub, "h1");
    await back.enlist("instance-1", GATEWAY);
    expect(await placed()).toEqual(["h2"]);
    report(back, ip, SUSPECT);
    expect(await back.next()).toEqual({ type: "ejected", ips: [ip] });
  });

  it("[UP3] that has been good in between is left out only when others try again", async () => {
    const { ip, hosts, placed } = await poolOf(2);
    const [cut, other] = [hosts[0]!, hosts[1]!];
    report(cut, ip, SUSPECT);
    await other.next();
    other.send({ type: "tried", ip, reached: [DOUBT] });
    await cut.next();
    report(cut, ip, GOOD);
    await cut.next();
    report(cut, ip, SUSPECT);
    expect(await other.next()).toEqual({ type: "try", ip, places: [DOUBT] });
    expect(await placed()).toEqual(["h1", "h2"]);
    expect(cut.unread).toEqual([]);
  });

  it("[UP4] is told every address from which it is left out, and shown with the worst of them", async () => {
    const { ip, stub, hosts } = await poolOf(2);
    const second = `203.0.113.${count}`;
    await stub.addIp(second, null);
    const [cut, other] = [hosts[0]!, hosts[1]!];
    for (const host of hosts) expect(await host.next()).toMatchObject({ type: "enlisted" });
    const tell = (host: HostConnection, ...uplinks: (object | undefined)[]): void => {
      const rooms = [ip, second].map((at, number) => ({
        ip: at,
        portCount: 256,
        busiestCount: 3,
        uplink: uplinks[number],
      }));
      host.send({ type: "report", draining: false, rooms });
    };
    tell(other, GOOD, GOOD);
    tell(cut, SUSPECT, GOOD);
    expect(await other.next()).toMatchObject({ type: "try", ip });
    other.send({ type: "tried", ip, reached: [DOUBT] });
    expect(await cut.next()).toEqual({ type: "ejected", ips: [ip] });
    const known = { portCount: 256, busiestCount: 3, destinationCount: 3 };
    expect(await stub.hosts()).toMatchObject({
      value: [
        {
          host: "h1",
          uplink: "dead",
          rooms: [
            { ip, ...known, uplink: "dead", failedCount: 3 },
            { ip: second, ...known, uplink: "good", failedCount: 0 },
          ],
        },
        { host: "h2", uplink: "good" },
      ],
    });
    tell(cut, SUSPECT, SUSPECT);
    expect(await other.next()).toMatchObject({ type: "try", ip: second });
    other.send({ type: "tried", ip: second, reached: [DOUBT] });
    expect(await cut.next()).toEqual({ type: "ejected", ips: [ip, second].toSorted() });
    tell(other, undefined, GOOD);
    expect(await other.ask("{")).toMatchObject({ type: "refused" });
    expect(await stub.hosts()).toMatchObject({
      value: [
        { uplink: "dead" },
        {
          uplink: "good",
          rooms: [
            { ip, uplink: "unknown", destinationCount: null, failedCount: null },
            { ip: second, uplink: "good", destinationCount: 3, failedCount: 0 },
          ],
        },
      ],
    });
  });

  it("[UP2] two others are asked that serve the address, first those that are not suspect", async () => {
    const { ip, hosts } = await poolOf(6);
    const [cut, draining, portless, suspect] = hosts as [
      HostConnection,
      HostConnection,
      HostConnection,
      HostConnection,
    ];
    const rooms = [{ ip, portCount: 256, busiestCount: 3, uplink: GOOD }];
    draining.send({ type: "report", draining: true, rooms });
    portless.send({ type: "report", draining: false, rooms: [{ ...rooms[0], portCount: 0 }] });
    report(suspect, ip, { ...SUSPECT, doubts: [] });
    for (const host of hosts) expect(await host.ask("{")).toMatchObject({ type: "refused" });
    // By chance alone the suspect one would come first.
    const chances = [0.1, 0.5, 0.9];
    drawFrom(() => chances.shift()!);
    report(cut, ip, SUSPECT);
    expect(await cut.ask("{")).toMatchObject({ type: "refused" });
    for (const host of hosts.slice(4)) {
      expect(await host.next()).toEqual({ type: "try", ip, places: [DOUBT] });
    }
    // Asked lately, they are not asked again.
    report(cut, ip, SUSPECT);
    for (const host of hosts) expect(await host.ask("{")).toMatchObject({ type: "refused" });
    expect(chances).toEqual([]);
  });

  it("[UP2] a suspect one is asked when there is no other, and by chance which of many", async () => {
    const { ip, hosts } = await poolOf(5);
    const [cut, suspect] = [hosts[0]!, hosts[1]!];
    report(suspect, ip, { ...SUSPECT, doubts: [] });
    expect(await suspect.ask("{")).toMatchObject({ type: "refused" });
    const chances = [0.1, 0.9, 0.2, 0.5];
    drawFrom(() => chances.shift()!);
    report(cut, ip, SUSPECT);
    expect(await cut.ask("{")).toMatchObject({ type: "refused" });
    for (const host of [hosts[3]!, hosts[4]!]) expect(await host.next()).toMatchObject({ type: "try" });
    expect(await hosts[2]!.ask("{")).toMatchObject({ type: "refused" });
    for (const host of hosts.slice(2)) host.send({ type: "report", draining: true, rooms: [] });
    for (const host of hosts.slice(2)) expect(await host.ask("{")).toMatchObject({ type: "refused" });
    report(cut, ip, GOOD);
    chances.push(0.1);
    report(cut, ip, SUSPECT);
    expect(await suspect.next()).toMatchObject({ type: "try" });
  });

  it("[UP3] stays when the others do not reach it either: it is the destination that is down", async () => {
    const { ip, hosts, placed, uplinks } = await poolOf(3);
    report(hosts[0]!, ip, SUSPECT);
    for (const other of hosts.slice(1)) {
      expect(await other.next()).toMatchObject({ type: "try" });
      other.send({ type: "tried", ip, reached: [] });
    }
    // What another reached has nothing to do with it.
    hosts[1]!.send({ type: "tried", ip, reached: [{ ...DOUBT, port: 80 }] });
    await vi.waitFor(async () => expect(await uplinks()).toMatchObject({ h1: "suspect" }));
    expect(await placed()).toEqual(["h1", "h2", "h3"]);
  });

  it("[UP3] is not left out on its own word, nor when it is the only one", async () => {
    const { ip, hosts, placed } = await poolOf(1);
    report(hosts[0]!, ip, SUSPECT);
    hosts[0]!.send({ type: "tried", ip, reached: [DOUBT] });
    report(hosts[0]!, ip, SUSPECT);
    expect(await placed()).toEqual(["h1"]);
    expect(hosts[0]!.unread).toEqual([]);
  });

  it("[UP3] all are served from again when the last one fails as well", async () => {
    const { ip, hosts, placed } = await poolOf(2);
    const [one, other] = [hosts[0]!, hosts[1]!];
    report(one, ip, SUSPECT);
    await other.next();
    other.send({ type: "tried", ip, reached: [DOUBT] });
    expect(await one.next()).toEqual({ type: "ejected", ips: [ip] });
    report(other, ip, SUSPECT);
    expect(await one.next()).toMatchObject({ type: "try" });
    one.send({ type: "tried", ip, reached: [DOUBT] });
    expect(await one.next()).toEqual({ type: "ejected", ips: [] });
    expect(await placed()).toEqual(["h1", "h2"]);
  });

  it("[UP3] [UP4] is served from again, and shown so, when the other no longer serves", async () => {
    const { ip, hosts, placed, uplinks } = await poolOf(2);
    const [cut, other] = [hosts[0]!, hosts[1]!];
    report(cut, ip, SUSPECT);
    await other.next();
    other.send({ type: "tried", ip, reached: [DOUBT] });
    expect(await cut.next()).toEqual({ type: "ejected", ips: [ip] });
    other.send({
      type: "report",
      draining: true,
      rooms: [{ ip, portCount: 256, busiestCount: 3, uplink: GOOD }],
    });
    expect(await other.ask("{")).toMatchObject({ type: "refused" });
    expect(await placed()).toEqual(["h1"]);
    expect(await uplinks()).toEqual({ h1: "suspect", h2: "good" });
  });

  it("[UP2] [UP5] hosts that do not watch their uplink are asked nothing and stay", async () => {
    const { ip, hosts, placed, uplinks } = await poolOf(2);
    report(hosts[1]!, ip);
    await vi.waitFor(async () => expect(await uplinks()).toMatchObject({ h2: "unknown" }));
    report(hosts[0]!, ip, SUSPECT);
    await vi.waitFor(async () => expect(await uplinks()).toMatchObject({ h1: "suspect" }));
    expect(hosts[1]!.unread).toEqual([]);
    expect(await placed()).toEqual(["h1", "h2"]);
  });
});

describe("a host that loses much", () => {
  const LOSING = { state: "good", destinationCount: 200, failedCount: 190, doubts: [DOUBT] };
  const SOUND = { state: "good", destinationCount: 20, failedCount: 0, doubts: [] };

  it("[UP9] is left out when another reaches what it cannot, and not for what nobody reaches", async () => {
    const { ip, hosts, placed } = await poolOf(3);
    const [losing, other, third] = [hosts[0]!, hosts[1]!, hosts[2]!];
    for (const sound of [other, third]) report(sound, ip, SOUND);
    report(losing, ip, LOSING);
    expect(await other.next()).toEqual({ type: "try", ip, places: [DOUBT] });
    other.send({ type: "tried", ip, reached: [] });
    expect(await third.next()).toEqual({ type: "try", ip, places: [DOUBT] });
    expect(await placed()).toEqual(["h1", "h2", "h3"]);
    third.send({ type: "tried", ip, reached: [DOUBT] });
    expect(await losing.next()).toEqual({ type: "ejected", ips: [ip] });
    expect(await placed()).toEqual(["h2", "h3"]);
    report(losing, ip, SOUND);
    expect(await losing.next()).toEqual({ type: "ejected", ips: [] });
  });
});

describe("where routers find a host", () => {
  it("[PM7] is shown in the pool, and hosts are told when it begins to matter", async () => {
    count += 1;
    const stub = objects.EGRESS_POOL.getByName(`reach-${count}`);
    await stub.configure({});
    const host = await HostConnection.open(stub, "h1");
    const reach = { ipv4: "203.0.113.1", ipv6: null };
    const enlist = { type: "enlist", version: 1, instance: "instance-1", gateway: GATEWAY };
    expect(await host.ask({ ...enlist, reach })).toMatchObject({ steered: false });
    const silent = await HostConnection.open(stub, "h2");
    expect(await silent.ask({ ...enlist, instance: "instance-2" })).toMatchObject({ steered: false });
    const router = await RouterConnection.open(stub, "r1");
    router.send({ type: "enroll", version: 1, instance: "router-instance" });
    expect(await host.next()).toMatchObject({ type: "enlisted", steered: true });
    expect(await silent.next()).toMatchObject({ type: "enlisted", steered: true });
    expect(await stub.hosts()).toMatchObject({
      value: [
        { host: "h1", reach },
        { host: "h2", reach: { ipv4: null, ipv6: null } },
      ],
    });
  });
});

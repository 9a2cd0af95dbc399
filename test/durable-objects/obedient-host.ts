/** Hosts of a pool that do as they are told, over real connections. */
import type { EgressPool } from "../../durable-objects/pool/egress-pool.ts";
import { HostConnection, type Reply } from "./objects.ts";

/** The pool that they speak to. */
export type Pool = DurableObjectStub<EgressPool>;

/** What it leaves it keeps, with so many flows, until these are none. */
export class ObedientHost {
  readonly name: string;
  readonly connection: HostConnection;
  /** What it is to serve, as it was told last. */
  ips: readonly string[] = [];
  /** Flows by address, of those that it leaves. */
  readonly flows = new Map<string, number>();
  readonly #had = new Set<string>();

  private constructor(name: string, connection: HostConnection) {
    this.name = name;
    this.connection = connection;
  }

  static async enlist(stub: Pool, name: string): Promise<ObedientHost> {
    const host = new ObedientHost(name, await HostConnection.open(stub, name));
    host.#follow(await host.connection.enlist(`${name}-instance`, "http://127.0.0.1:8001"));
    return host;
  }

  /** Hears what it was told since; true if there was anything. */
  listen(): boolean {
    const texts = [...this.connection.unread];
    this.connection.forgetUnread();
    for (const text of texts) this.#follow(JSON.parse(text) as Reply);
    return texts.length > 0;
  }

  report(withPorts: readonly string[] = this.ips): void {
    const rooms = this.ips.map((ip) => ({
      ip,
      portCount: withPorts.includes(ip) ? 256 : 0,
      busiestCount: 0,
    }));
    const leaving = [...this.#had]
      .filter((ip) => !this.ips.includes(ip) && (this.flows.get(ip) ?? 0) > 0)
      .map((ip) => ({ ip, portCount: 256, flowCount: this.flows.get(ip)! }));
    this.connection.send({ type: "report", draining: false, rooms, leaving });
  }

  #follow(reply: Reply): void {
    this.ips = reply["ips"] as string[];
    for (const ip of this.ips) this.#had.add(ip);
  }
}

/** Enlists hosts of these names, one after the other. */
export async function enlistAll(stub: Pool, names: readonly string[]): Promise<ObedientHost[]> {
  const hosts: ObedientHost[] = [];
  for (const name of names) hosts.push(await ObedientHost.enlist(stub, name));
  return hosts;
}

/** Names of so many hosts. */
export function hostNames(count: number): string[] {
  return Array.from({ length: count }, (_, at) => `h${at}`);
}

/** Lets hosts report, and be told, until nobody is told anything more. */
export async function settle(stub: Pool, hosts: readonly ObedientHost[]): Promise<void> {
  for (let isMoving = true; isMoving;) {
    for (const host of hosts) host.report();
    // Its answer comes after what the reports brought about, but for a decision that waits for more.
    await stub.placement();
    await scheduler.wait(20);
    isMoving = hosts.map((host) => host.listen()).includes(true);
  }
}

/** Who gets requests, by address. */
export async function hostsPlaced(stub: Pool): Promise<Map<string, string[]>> {
  const placement = await stub.placement();
  if (!placement.ok) throw new Error(placement.refusal);
  return new Map(placement.value.ips.map(({ ip, hosts }) => [ip, hosts.map(({ host }) => host).toSorted()]));
}

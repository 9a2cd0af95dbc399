/**
 * Hosts as their pool and addresses see them, hundreds in one process: the agent's own members and
 * lease keepers over real connections, without a gateway, a guard, or any traffic.
 */
import { pino } from "pino";
import { PortBinder } from "../../src/agent/egress/port-binder.ts";
import { PoolMember } from "../../src/agent/leasing/pool-member.ts";

/** Where they belong. */
export interface HostsOptions {
  readonly edge: URL;
  readonly pool: string;
  readonly token: (host: string) => Promise<string>;
}

/** One host. */
export class LeasingHost {
  readonly name: string;
  readonly #binder = new PortBinder();
  readonly #member: PoolMember;

  constructor(name: string, { edge, pool, token }: HostsOptions) {
    this.name = name;
    this.#member = new PoolMember({
      edge,
      pool,
      gateway: "http://127.0.0.1:9",
      instance: `instance-of-${name}`,
      token: () => token(name),
      binder: this.#binder,
      epochs: { highestEpoch: () => 0, noteEpoch: () => {} },
      drainDeadlineMs: 0,
      whyAbsent: async () => null,
      log: pino({ level: "silent" }),
    });
    this.#member.start();
  }

  /** The addresses from which it can send now. */
  get served(): string[] {
    const served: string[] = [];
    for (const address of this.#binder.addresses()) {
      if (address.capacity().portCount > 0) served.push(address.ip);
    }
    return served;
  }

  stop(): void {
    this.#member.stop();
  }
}

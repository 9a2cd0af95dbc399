/** A router that follows whatever its pool says, in its own time, and insists on the order of it. */
import { blocksOverlap } from "../../src/core/port-block.ts";
import type { SteeringChange, SteeringTable } from "../../src/core/steering.ts";
import { parseRouterReply } from "../../src/wire/message-parsers.ts";
import { RouterConnection } from "./objects.ts";

/** What a router steers by: lists in the order of their names, hosts that can be reached. */
export type AppliedTable = SteeringTable;

const BEFORE_ALL: AppliedTable = { sequence: -1, ips: [], entries: [], nextHops: [] };

/** One connection of a router; what breaks the order of ST1 and ST3 is thrown by the next look at it. */
export class ApplyingRouter {
  readonly #connection: RouterConnection;
  readonly #delayMs: number;
  #table = BEFORE_ALL;
  #pieces: SteeringTable[] = [];
  #fault: unknown = null;
  #tableCame = Promise.withResolvers<void>();

  private constructor(connection: RouterConnection, delayMs: number) {
    this.#connection = connection;
    this.#delayMs = delayMs;
  }

  /** Comes to the pool; done when it has applied the whole table. It takes its time for each message. */
  static async enroll(
    pool: Pick<DurableObjectStub, "fetch">,
    name: string,
    delayMs: number,
  ): Promise<ApplyingRouter> {
    const connection = await RouterConnection.open(pool, name);
    const router = new ApplyingRouter(connection, delayMs);
    void router.#applyAll();
    connection.send({ type: "enroll", version: 1, instance: `${name}-instance` });
    await router.#tableCame.promise;
    return router;
  }

  get applied(): AppliedTable {
    if (this.#fault !== null) throw this.#fault;
    return this.#table;
  }

  async resync(): Promise<void> {
    this.#tableCame = Promise.withResolvers();
    this.#connection.send({ type: "resync" });
    await this.#tableCame.promise;
  }

  close(): void {
    this.#connection.close();
  }

  async #applyAll(): Promise<void> {
    try {
      for (;;) {
        const text = await this.#connection.nextText();
        // Who does not wait for it is found out.
        await scheduler.wait(this.#delayMs);
        this.#apply(text);
      }
    } catch (fault) {
      this.#fault = fault;
      this.#tableCame.resolve();
    }
  }

  #apply(text: string): void {
    const reply = parseRouterReply(text);
    if (!reply.ok || reply.value.type === "refused") throw new Error(text);
    if (reply.value.type === "change") {
      this.#table = changed(this.#table, reply.value.change);
      return this.#connection.acknowledge(this.#table.sequence);
    }
    this.#pieces.push(reply.value.table);
    if (reply.value.part !== this.#pieces.length) throw new Error(`part ${reply.value.part} came next`);
    if (this.#pieces.length < reply.value.parts) return;
    const pieces = this.#pieces.splice(0);
    this.#table = sorted({
      sequence: pieces[0]!.sequence,
      ips: pieces.flatMap(({ ips }) => ips),
      entries: pieces.flatMap(({ entries }) => entries),
      nextHops: pieces.flatMap(({ nextHops }) => nextHops),
    });
    this.#connection.acknowledge(this.#table.sequence);
    this.#tableCame.resolve();
  }
}

/** A table after a change that must fit it exactly. */
function changed(table: AppliedTable, change: SteeringChange): AppliedTable {
  if (change.sequence !== table.sequence + 1) throw new Error(`${change.sequence} after ${table.sequence}`);
  const entries = [...table.entries];
  for (const { ip, base, epoch } of change.withdraw) {
    const at = entries.findIndex((entry) => entry.ip === ip && entry.base === base && entry.epoch === epoch);
    if (at < 0) throw new Error(`withdrawn, but never put: ${ip} ${base} ${epoch}`);
    entries.splice(at, 1);
  }
  for (const entry of change.put) {
    const rival = entries.find((other) => other.ip === entry.ip && blocksOverlap(other, entry));
    if (rival !== undefined) throw new Error(`put over another: ${JSON.stringify([entry, rival])}`);
    entries.push(entry);
  }
  const named = new Set(change.nextHops.map(({ host }) => host));
  return sorted({
    sequence: change.sequence,
    ips: [...table.ips.filter((ip) => !change.removeIps.includes(ip)), ...change.addIps],
    entries,
    nextHops: [...table.nextHops.filter(({ host }) => !named.has(host)), ...change.nextHops],
  });
}

function sorted({ sequence, ips, entries, nextHops }: SteeringTable): AppliedTable {
  return {
    sequence,
    ips: ips.toSorted(),
    entries: entries.toSorted((a, b) => (a.ip === b.ip ? a.base - b.base : a.ip < b.ip ? -1 : 1)),
    nextHops: nextHops
      .filter(({ ipv4, ipv6 }) => ipv4 !== null || ipv6 !== null)
      .toSorted((a, b) => (a.host < b.host ? -1 : 1)),
  };
}

/**
 * The Worker of a run: requests go where its copy of the placement says, with the real cache. It
 * hears from a host that has lost its lease, as the real one does.
 */
import { grant, refuse } from "../../src/core/outcome.ts";
import { chooseHost, NOBODY, type Placement, rankIps } from "../../src/core/placement.ts";
import { type Found, PlacementCache } from "../../src/worker/placement-cache.ts";
import type { Chance } from "./chance.ts";
import { type Edge, POOL } from "./edge.ts";
import { callObject } from "./edge-object.ts";
import type { Host } from "./host.ts";
import type { Machine } from "./machine.ts";
import type { Network } from "./network.ts";

const MEAN_INTERVAL_MS = 400;

/** One isolate of the Worker. */
export class SimulatedWorker {
  readonly #cache = new PlacementCache();
  readonly #edge: Edge;
  readonly #network: Network;
  readonly #chance: Chance;
  readonly #machine: Machine;
  readonly #hosts: readonly Host[];
  readonly #count: (what: string) => void;

  constructor(
    edge: Edge,
    network: Network,
    chance: Chance,
    hosts: readonly Host[],
    count: (what: string) => void,
  ) {
    this.#edge = edge;
    this.#network = network;
    this.#chance = chance;
    this.#machine = edge.newMachine();
    this.#hosts = hosts;
    this.#count = count;
  }

  /** Sends requests from now on. */
  begin(): void {
    this.#network.timeline.after(MEAN_INTERVAL_MS * this.#chance.between(0.2, 1.8), () => {
      void this.#request();
      this.begin();
    });
  }

  /** The placement that a request would follow now. */
  async placement(): Promise<Placement | null> {
    const found = await this.#find();
    return found.ok ? found.value : null;
  }

  async #request(): Promise<void> {
    const found = await this.#find();
    if (!found.ok) return this.#count(`request refused: ${found.refusal}`);
    const ranked = rankIps(found.value, {}, this.#chance.next);
    if (!ranked.ok) return this.#count(`request refused: ${ranked.refusal}`);
    const chosen = chooseHost(ranked.value, NOBODY, this.#chance.next);
    if (!chosen.ok) return this.#count(`request refused: ${chosen.refusal}`);
    const { ip, host } = chosen.value;
    const target = this.#hosts.find(({ machine }) => host.gateway.includes(`${machine.name}:`));
    const isServed = target?.serve(ip) === true;
    if (!isServed) this.#cache.doubt(POOL);
    this.#count(isServed ? "request served" : "request refused by its host");
  }

  async #find(): Promise<Found> {
    const load = async (): Promise<Found> => {
      try {
        const answer = await callObject(null, this.#edge.pool, this.#network, (pool) => pool.placement());
        return answer.ok ? grant(answer.value) : refuse("pool-unknown");
      } catch {
        return refuse("control-plane-unavailable");
      }
    };
    return this.#cache.find(POOL, this.#machine.wallMs(), load, { waitUntil: () => {} });
  }
}

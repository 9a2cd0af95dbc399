/**
 * The Worker of a run: requests go where its copy of the placement says, with the real cache. It
 * hears from a host that has lost its lease, and tells the pool which hosts it misses, as the real
 * one does.
 *
 * Laws 8 and 9 as a request sees them: no pool is asked while there is a fresh copy that nobody has
 * cast doubt on, and to lose the pool takes no copy away.
 */
import { ok, refuse } from "../../src/core/outcome.ts";
import { chooseHost, NOBODY, rankIps } from "../../src/core/host-choice.ts";
import type { Placement } from "../../src/core/placement.ts";
import { HostDoubts } from "../../src/worker/hosts/host-doubts.ts";
import { type Found, PlacementCache } from "../../src/worker/hosts/placement-cache.ts";
import type { Chance } from "./chance.ts";
import { type Edge, POOL } from "./edge.ts";
import { callObject } from "./object-calls.ts";
import type { Host } from "./host.ts";
import { Violation } from "./law-checks.ts";
import type { Machine } from "./machine.ts";
import type { Network } from "./network.ts";
import type { Transition } from "./transitions.ts";

const MEAN_INTERVAL_MS = 400;
/** So long at least after a question that was answered no request asks again. */
const STEADY_MS = 2_900;
/** So long at least a copy serves though its pool is lost. No run lasts longer. */
const COPY_LASTS_MS = 590_000;

/** Who follows what the Worker does. */
export interface WorkerWatch {
  readonly count: (what: string) => void;
  readonly violated: (violation: Violation) => void;
}

/** One isolate of the Worker. */
export class SimulatedWorker {
  readonly #cache = new PlacementCache();
  readonly #doubts = new HostDoubts();
  readonly #edge: Edge;
  readonly #network: Network;
  readonly #chance: Chance;
  readonly #machine: Machine;
  readonly #hosts: readonly Host[];
  readonly #watch: WorkerWatch;
  /** When the pool was asked last that has answered, in true time. */
  #askedAtMs: number | null = null;
  /** When a host denied what the copy says. */
  #doubtedAtMs = -Infinity;

  constructor(edge: Edge, network: Network, chance: Chance, hosts: readonly Host[], watch: WorkerWatch) {
    this.#edge = edge;
    this.#network = network;
    this.#chance = chance;
    this.#machine = edge.newMachine();
    this.#hosts = hosts;
    this.#watch = watch;
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
    if (target?.isAnswering !== true) {
      // The next question tells the pool, which is asked no sooner for that.
      this.#doubts.add(POOL, host.host, this.#machine.wallMs());
      return this.#count("request lost with its host");
    }
    this.#doubts.remove(POOL, host.host);
    const isServed = target.serve(ip);
    if (!isServed) this.#doubt();
    this.#count(isServed ? "request served" : "request refused by its host");
  }

  #doubt(): void {
    this.#doubtedAtMs = this.#network.timeline.nowMs;
    this.#cache.doubt(POOL);
  }

  async #find(): Promise<Found> {
    // An answer to another request that came in the same moment, but later, is none that this one had.
    let knownAsOfMs: number | null = null;
    const load = async (): Promise<Found> => {
      this.#checkNeed();
      const { nowMs } = this.#network.timeline;
      try {
        const missed = this.#doubts.tell(POOL, this.#machine.wallMs());
        if (missed.length > 0) this.#count("pool: is told of hosts that are missed" satisfies Transition);
        const answer = await callObject(null, this.#edge.pool, this.#network, (pool) =>
          pool.placement(missed),
        );
        this.#askedAtMs = Math.max(this.#askedAtMs ?? 0, nowMs);
        return answer.ok ? ok(answer.value) : refuse("pool-unknown");
      } catch {
        knownAsOfMs = this.#askedAtMs;
        return refuse("control-plane-unavailable");
      }
    };
    const found = await this.#cache.find(POOL, this.#machine.wallMs(), load, { waitUntil: () => {} });
    if (!found.ok && found.refusal === "control-plane-unavailable") this.#checkLoss(knownAsOfMs);
    return found;
  }

  /** Law 9: the pool is about to be asked. */
  #checkNeed(): void {
    if (this.#askedAtMs === null || this.#askedAtMs <= this.#doubtedAtMs) return;
    const ageMs = this.#network.timeline.nowMs - this.#askedAtMs;
    if (ageMs >= STEADY_MS) return this.#count("placement asked for anew");
    const what = `a request asks the pool ${Math.round(ageMs)} ms after one that was answered`;
    this.#watch.violated(new Violation("law 9", what));
  }

  /** Law 8: a request has ended for want of the pool; what was known when that was lost was asked for then. */
  #checkLoss(knownAsOfMs: number | null): void {
    if (knownAsOfMs === null) return;
    const ageMs = this.#network.timeline.nowMs - knownAsOfMs;
    if (ageMs >= COPY_LASTS_MS) return;
    const what = `a request is refused for want of the pool, which has answered what was asked ${Math.round(ageMs)} ms ago`;
    this.#watch.violated(new Violation("law 8", what));
  }

  #count(what: string): void {
    this.#watch.count(what);
  }
}

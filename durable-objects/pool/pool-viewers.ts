/**
 * Those who look at a pool: its addresses, hosts and routers, and then what has become other. Much of
 * that shows by time alone, such as a host that is silent, so while somebody looks the pool is looked
 * through once a second. [LV5] [LV6]
 */
import type { PoolSight, Telling } from "../../src/core/live-view.ts";
import type { Outcome } from "../../src/core/outcome.ts";
import type { Acceptance, ObjectPlatform, ObjectSocket } from "../platform/object-platform.ts";
import type { Opener } from "../platform/token-sockets.ts";
import { Sight, ToldList } from "../viewing/sight.ts";
import { type Viewer, viewerOf, ViewerSockets } from "../viewing/viewer-sockets.ts";
import type { HostSockets } from "./host-sockets.ts";
import { HostWatch } from "./host-watch.ts";
import type { PoolStore } from "./pool-store.ts";
import type { PoolDescription, PoolView } from "./pool-view.ts";

/** Once a second at most. */
const INTERVAL_MS = 1_000;
/** To ask all addresses of a static pool whenever it is looked through would be too much. */
const HELD_LASTS_MS = 10_000;

/** What is looked at. */
export interface PoolViewersOptions {
  readonly platform: ObjectPlatform;
  readonly store: PoolStore;
  readonly sockets: HostSockets;
  readonly view: PoolView;
}

/** One per pool object. */
export class PoolViewers {
  readonly #viewers: ViewerSockets;
  readonly #sight: Sight<PoolDescription>;
  readonly #watch: HostWatch;

  constructor({ platform, store, sockets, view }: PoolViewersOptions) {
    this.#viewers = new ViewerSockets(platform);
    this.#watch = new HostWatch({ platform, store, sockets, viewers: this.#viewers });
    this.#sight = new Sight({
      platform,
      viewers: this.#viewers,
      intervalMs: INTERVAL_MS,
      isSteady: true,
      read: async () => {
        if (store.pool() === null) return { gone: "pool-unknown" };
        const pool = await view.described(HELD_LASTS_MS);
        return { pool: pool.pool, state: pool };
      },
      whole: (pool) => ({ type: "pool", pool }) satisfies PoolSight<PoolDescription>,
      change: changesOfPool(),
      also: (looking, fresh) => this.#watch.tell(looking, fresh),
      onNobody: () => this.#watch.forget(),
    });
  }

  /** Connects a viewer. */
  connect(viewer: Viewer, pool: string, opener: Opener): Outcome<Acceptance, "viewers-exhausted"> {
    return this.#viewers.connect(viewer, pool, opener);
  }

  /** Hears a viewer. */
  heard(socket: ObjectSocket, message: string | ArrayBuffer): void {
    this.#sight.heard(socket, message, ({ past = false, decisions = false }) => ({
      decisions,
      // Owed until it was told all of it.
      past: past || viewerOf(socket).past === true,
    }));
  }

  /** A host tells of itself. */
  told(host: string, telling: Telling): void {
    this.#watch.told(host, telling);
  }
}

function changesOfPool(): (pool: PoolDescription) => object | null {
  const ips = new ToldList<PoolDescription["ips"][number], string>(({ ip }) => ip);
  const hosts = new ToldList<PoolDescription["hosts"][number], string>(({ host }) => host);
  const routers = new ToldList<PoolDescription["routers"][number], string>(({ router }) => router);
  let toldRest = "";
  return ({ ips: presentIps, hosts: presentHosts, routers: presentRouters, ...rest }) => {
    const [ip, host] = [ips.take(presentIps), hosts.take(presentHosts)];
    const router = routers.take(presentRouters);
    const restText = JSON.stringify(rest);
    const isRestNews = restText !== toldRest;
    toldRest = restText;
    const isNews = [ip, host, router].some(({ changed, gone }) => changed.length > 0 || gone.length > 0);
    if (!isNews && !isRestNews) return null;
    return {
      type: "pool-change",
      ips: ip.changed,
      goneIps: ip.gone,
      hosts: host.changed,
      goneHosts: host.gone,
      routers: router.changed,
      goneRouters: router.gone,
      ...(isRestNews ? { rest } : {}),
    } satisfies PoolSight<PoolDescription>;
  };
}

/** The views of a pool, over one connection to its object. */
import { lazy } from "../parts/lazy.tsx";
import { useSignals, useNow } from "../parts/signal.ts";
import { span } from "../parts/words.ts";
import { DecisionsView } from "../decisions/decisions-view.tsx";
import { FleetView } from "../fleet/fleet-view.tsx";
import type { LinkState } from "../live/live-socket.ts";
import type { PoolStore } from "../live/pool-store.ts";
import { usePool } from "../live/use-live.ts";
import { MapView } from "../port-map/map-view.tsx";
import type { Session } from "../session/session.ts";
import { TryView } from "../try-it/try-view.tsx";
import type { Route } from "./route.ts";

interface PoolPageProps {
  readonly pool: string;
  readonly route: Extract<Route, { readonly pool: string | null }>;
  readonly session: Session;
  readonly ended: (reason: string) => void;
}

// It brings what draws charts, which no other view needs.
const TimeView = lazy(async () => (await import("../time/time-view.tsx")).TimeView);

/** The page. */
export function PoolPage({ pool, route, session, ended }: PoolPageProps) {
  const { view } = route;
  const store = usePool(
    pool,
    { past: view === "time" || view === "fleet", decisions: view === "log" },
    ended,
  );
  useSignals(store.fleetChanged);
  return (
    <>
      <LinkNote store={store} />
      {store.rest === null ? (
        <p class="faint loading">Asking for the pool …</p>
      ) : (
        <>
          {view === "fleet" && <FleetView pool={pool} store={store} session={session} />}
          {view === "map" && <MapView pool={pool} ip={route.ip} store={store} ended={ended} />}
          {view === "time" && <TimeView store={store} />}
          {view === "log" && <DecisionsView store={store} pool={pool} />}
          {view === "try" && <TryView pool={pool} session={session} />}
        </>
      )}
    </>
  );
}

/** Whether what is shown is of now. A live region: it is said when it changes. */
function LinkNote({ store }: { readonly store: PoolStore }) {
  useSignals(store.linkChanged);
  return (
    <p class={`link-note ${store.link}`} role="status" data-testid="link" data-state={store.link}>
      {LINK_WORDS[store.link]}
      {store.link === "lost" && <Since atMs={store.lostAtMs ?? Date.now()} />}
    </p>
  );
}

/** It counts on, which nobody wants to hear each second. */
function Since({ atMs }: { readonly atMs: number }) {
  const nowMs = useNow();
  return <span aria-hidden="true"> What is shown is {span(nowMs - atMs)} old.</span>;
}

const LINK_WORDS: Readonly<Record<LinkState, string>> = {
  waiting: "Connecting …",
  live: "Live",
  lost: "The connection is lost; connecting again.",
  resting: "At rest while nobody looks.",
};

/** The views of a pool, over one connection to its object. */
import type { PoolStore } from "../live/pool-store.ts";
import { Trouble } from "../parts/bits.tsx";
import { refusalTitle } from "../parts/refusal-title.ts";
import { lazy } from "../parts/lazy.tsx";
import { LinkNote } from "../parts/link-note.tsx";
import { useSignals } from "../parts/use-signals.ts";
import { DecisionsView } from "../decisions/decisions-view.tsx";
import { FleetView } from "../fleet/fleet-view.tsx";
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
  useSignals(store.fleetChanged, store.linkChanged);
  return (
    <>
      <LinkNote of={store} testId="link" />
      {store.rest === null ? (
        <Asking store={store} pool={pool} />
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

function Asking({ store, pool }: { readonly store: PoolStore; readonly pool: string }) {
  if (store.lostWhy === "") return <p class="faint loading">Asking for the pool …</p>;
  return (
    <Trouble>
      {pool}: {refusalTitle(store.lostWhy) || store.lostWhy} Choose another pool above.
    </Trouble>
  );
}

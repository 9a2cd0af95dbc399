/** A pool in one glance and row by row: who holds what, what is short, why was it refused. */
import { useMemo, useState } from "preact/hooks";
import type { PoolStore } from "../live/pool-store.ts";
import { useNow, useSignalsSlowly } from "../parts/use-signals.ts";
import type { Session } from "../session/session.ts";
import { AddressDetails } from "./address-details.tsx";
import { addressRows, hostRows, newFleetOrder, routerRows } from "./attention.ts";
import { Glance } from "./glance.tsx";
import { HostDetails } from "./host-details.tsx";
import { AddressTable } from "./address-table.tsx";
import { HostTable } from "./host-table.tsx";
import { RouterTable } from "./router-table.tsx";

interface FleetViewProps {
  readonly pool: string;
  readonly store: PoolStore;
  readonly session: Session;
}

const LATE_FOUND_MS = 5000;

/** What is opened: its details are told. */
type Opened = { readonly ip: string } | { readonly host: string } | null;

/** The view. */
export function FleetView({ pool, store, session }: FleetViewProps) {
  const version = useSignalsSlowly(store.fleetChanged, store.watchedChanged);
  const nowMs = useNow();
  const [opened, open] = useState<Opened>(null);
  const order = useMemo(newFleetOrder, [store]);
  const addresses = useMemo(() => addressRows(store, order), [store, version]);
  // What has become late meanwhile is found a little later than what is told.
  const hosts = useMemo(
    () => hostRows(store, order, nowMs),
    [store, version, Math.floor(nowMs / LATE_FOUND_MS)],
  );
  const routers = useMemo(() => routerRows(store, order), [store, version]);
  const close = (): void => open(null);
  return (
    <>
      <div class="view-head">
        <h1>Fleet of {pool}</h1>
      </div>
      <Glance pool={pool} store={store} addresses={addresses} hosts={hosts} routers={routers} />
      <AddressTable rows={addresses} open={(ip) => open({ ip })} />
      <HostTable rows={hosts} nowMs={nowMs} open={(host) => open({ host })} />
      <RouterTable rows={routers} sequence={store.rest?.steeringSequence ?? 0} nowMs={nowMs} />
      {opened !== null && "ip" in opened && (
        <AddressDetails
          pool={pool}
          ip={opened.ip}
          row={addresses.find(({ ip }) => ip.ip === opened.ip) ?? null}
          hosts={hosts}
          session={session}
          closed={close}
        />
      )}
      {opened !== null && "host" in opened && (
        <HostDetails
          pool={pool}
          host={opened.host}
          row={hosts.find(({ host }) => host.host === opened.host) ?? null}
          nowMs={nowMs}
          session={session}
          closed={close}
        />
      )}
    </>
  );
}

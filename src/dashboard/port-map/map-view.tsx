/** An address, seen: who holds which ports of it, as a picture, as a strip and as a table. */
import { useId, useMemo, useRef, useState } from "preact/hooks";
import { LEASABLE_PORT_COUNT, portCountOf, PORT_END } from "../../core/port-block.ts";
import type { AddressStore } from "../live/address-store.ts";
import type { PoolStore } from "../live/pool-store.ts";
import { useAddress } from "../live/use-live.ts";
import { Figure, Mark, Trouble } from "../parts/bits.tsx";
import { LinkNote } from "../parts/link-note.tsx";
import { refusalTitle } from "../parts/refusal-title.ts";
import { useSignals, useSignalsSlowly } from "../parts/use-signals.ts";
import { useTheme } from "../parts/theme.ts";
import { counted, destinationText, percent, whole } from "../parts/words.ts";
import { fragmentOf } from "../shell/route.ts";
import { blockAt, portSentence } from "./block-facts.ts";
import { BlockTable } from "./block-table.tsx";
import { HostHues } from "./host-hues.ts";
import { Legend } from "./legend.tsx";
import { MapCanvas } from "./map-canvas.tsx";
import { PortCard } from "./port-card.tsx";
import { Strip } from "./strip.tsx";

/** Hosts tell it when an eighth of their ports is in use, or with something else (PM9). */
const NOT_HOT = "told from an eighth of the ports on";

interface MapViewProps {
  readonly pool: string;
  /** Null for one that the page chooses. */
  readonly ip: string | null;
  readonly store: PoolStore;
  readonly ended: (reason: string) => void;
}

/** The view. */
export function MapView({ pool, ip, store, ended }: MapViewProps) {
  useSignalsSlowly(store.fleetChanged);
  const [first] = useState(() => [...store.ips.keys()].toSorted()[0] ?? null);
  const shown = ip ?? first;
  const address = useAddress(shown, ended);
  return (
    <>
      <div class="view-head">
        <h1>Port map</h1>
        <AddressChoice pool={pool} shown={shown} ips={[...store.ips.keys()]} />
        {address !== null && <AddressLink pool={store} address={address} />}
      </div>
      {address === null ? (
        <p class="card">
          This pool has no address yet. <code>ipshard ip add ADDRESS --pool {pool}</code> gives it one.
        </p>
      ) : (
        <AddressMap key={address.ip} pool={store} store={address} />
      )}
    </>
  );
}

/** What is wrong with the pool's connection is said already: one voice is enough. */
function AddressLink({ pool, address }: { readonly pool: PoolStore; readonly address: AddressStore }) {
  useSignals(pool.linkChanged, address.linkChanged);
  if (pool.link !== "live" || address.link === "live") return null;
  return <LinkNote of={address} testId="address-link" />;
}

interface AddressChoiceProps {
  readonly pool: string;
  readonly shown: string | null;
  readonly ips: readonly string[];
}

function AddressChoice({ pool, shown, ips }: AddressChoiceProps) {
  const names = ips.join(" ");
  return useMemo(
    () => (
      <label class="inline-field">
        <span>Address</span>
        <select
          value={shown ?? ""}
          onChange={(event) => {
            location.hash = fragmentOf({ view: "map", pool, ip: event.currentTarget.value });
          }}
        >
          {shown !== null && !ips.includes(shown) && <option value={shown}>{shown}</option>}
          {ips.map((each) => (
            <option key={each} value={each}>
              {each}
            </option>
          ))}
        </select>
      </label>
    ),
    [names, shown, pool],
  );
}

function AddressMap({ pool, store }: { readonly pool: PoolStore; readonly store: AddressStore }) {
  useSignalsSlowly(store.linkChanged);
  const theme = useTheme();
  const hues = useMemo(() => new HostHues(), [store]);
  const helpId = useId();
  const [chosen, setChosen] = useState<string | null>(null);
  const [pointedHost, setPointedHost] = useState<string | null>(null);
  const [pointedPort, setPointedPort] = useState<number | null>(null);
  const [cursorPort, setCursorPort] = useState<number | null>(null);
  const shared = { pool, store, hues, theme };
  const host = pointedHost ?? chosen;
  const port = pointedPort ?? cursorPort;
  const to = { pointed: setPointedPort, moveCursor: setCursorPort };
  return (
    <>
      <AddressFigures pool={pool} store={store} />
      <div class="map-layout">
        <div class="map-side-left">
          <MapCanvas
            {...shared}
            {...to}
            host={host}
            cursorPort={cursorPort}
            pointedPort={pointedPort}
            describedBy={helpId}
          />
          <p id={helpId} class="faint map-help">
            Each port is a place, neighbours lie together. Arrow keys walk (with Shift by eight), + and −
            zoom, 0 shows the whole.
          </p>
        </div>
        <div class="map-side-right">
          <PortCard {...shared} port={port} />
          <GoTo moveCursor={setCursorPort} />
          <LiveLegend {...shared} chosen={chosen} choose={setChosen} pointed={setPointedHost} />
        </div>
      </div>
      <Strip {...shared} {...to} host={host} markedPort={port} />
      <BlockTable pool={pool} store={store} host={chosen} pointed={setPointedPort} />
      <Said store={store} port={cursorPort} />
    </>
  );
}

function LiveLegend(props: Parameters<typeof Legend>[0]) {
  useSignalsSlowly(props.store.changed);
  return <Legend {...props} />;
}

/** Where keys have gone to, for those who hear the page. */
function Said({ store, port }: { readonly store: AddressStore; readonly port: number | null }) {
  useSignalsSlowly(store.changed);
  const block = port === null ? null : blockAt(store, port);
  // It is said again when the block has become another, not when time goes on.
  const sentence = useMemo(
    () => (port === null ? "" : portSentence(store, port, Date.now())),
    [store, port, block],
  );
  return (
    <p class="only-heard" role="status" data-testid="port-said">
      {sentence}
    </p>
  );
}

function GoTo({ moveCursor }: { readonly moveCursor: (port: number) => void }) {
  const input = useRef<HTMLInputElement>(null);
  return (
    <form
      class="go-to"
      onSubmit={(event) => {
        event.preventDefault();
        const port = input.current?.valueAsNumber ?? NaN;
        if (Number.isInteger(port) && port >= 0 && port < PORT_END) moveCursor(port);
      }}
    >
      <label class="inline-field">
        <span>Go to port</span>
        <input ref={input} type="number" min={0} max={PORT_END - 1} required />
      </label>
      <button type="submit">Go</button>
    </form>
  );
}

function AddressFigures({ pool, store }: { readonly pool: PoolStore; readonly store: AddressStore }) {
  useSignalsSlowly(store.changed, store.linkChanged, pool.fleetChanged, pool.watchedChanged);
  const listed = pool.ips.get(store.ip);
  let leased = 0;
  let resting = 0;
  const hosts = new Set<string>();
  for (const { order, state, host } of store.blocks.values()) {
    if (state === "leased") {
      leased += portCountOf(order);
      hosts.add(host);
    } else resting += portCountOf(order);
  }
  const inUse = [...pool.watchedOf(store.ip)].reduce((sum, [, { inUseCount }]) => sum + inUseCount, 0);
  const free = store.rest?.freePortCount ?? 0;
  const busiest = listed?.busiestDestination ?? null;
  const part = leased / LEASABLE_PORT_COUNT;
  if (store.link === "lost" && store.lostWhy !== "")
    return <Trouble>{refusalTitle(store.lostWhy) || store.lostWhy}</Trouble>;
  if (store.rest === null) return <p class="faint loading">Asking for the address …</p>;
  return (
    <dl class="figures" data-testid="address-figures">
      <Figure
        title="Leased"
        value={whole(leased)}
        note={`${percent(part)} of the ports, by ${counted(hosts.size, "host")}`}
      />
      <Figure
        title="In use"
        value={whole(inUse)}
        note={leased === 0 ? "" : `${percent(inUse / leased)} of the leased`}
      />
      <Figure title="In quarantine" value={whole(resting)} note="no host may use them yet" />
      <Figure
        title="Free"
        value={whole(free)}
        {...(free < LEASABLE_PORT_COUNT * 0.1
          ? { level: "short" as const, note: "little is left to lease" }
          : { note: "can be leased now" })}
      />
      <Figure
        title="Hottest destination"
        value={busiest === null ? "none" : whole(busiest.portCount)}
        note={
          busiest === null
            ? inUse === 0
              ? "nothing is in use"
              : NOT_HOT
            : `ports to ${destinationText(busiest)}`
        }
      />
      {(store.rest.retiring || listed?.drain) && (
        <Figure
          title="State"
          value={<Mark level="note">{store.rest.retiring ? "retiring" : (listed?.drain?.state ?? "")}</Mark>}
        />
      )}
    </dl>
  );
}

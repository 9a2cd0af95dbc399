/** What is known of the port that is pointed at. */
import { FIRST_LEASABLE_PORT, formatRange, rangeOf } from "../../core/port-block.ts";
import type { AddressStore } from "../live/address-store.ts";
import type { PoolStore } from "../live/pool-store.ts";
import { Facts } from "../parts/bits.tsx";
import { useNow } from "../parts/use-signals.ts";
import { instant } from "../parts/words.ts";
import { cssColour, hostColour, type Theme } from "./colours.ts";
import type { HostHues } from "./host-hues.ts";
import { blockAt, untilMsOf, untilText, useText } from "./block-facts.ts";
import { usesOf } from "./picture.ts";

interface PortCardProps {
  readonly pool: PoolStore;
  readonly store: AddressStore;
  readonly hues: HostHues;
  readonly theme: Theme;
  readonly port: number | null;
}

/** The card. It is always of one height, so that nothing moves when the pointer does. */
export function PortCard({ pool, store, hues, theme, port }: PortCardProps) {
  const nowMs = useNow();
  return (
    <section class="card port-card" aria-label="The port that is pointed at" data-testid="port-card">
      {port === null ? (
        <p class="faint">
          Point at the map, or focus it and press an arrow key: here stands who has that port.
        </p>
      ) : (
        <KnownPort pool={pool} store={store} hues={hues} theme={theme} port={port} nowMs={nowMs} />
      )}
    </section>
  );
}

interface KnownPortProps extends PortCardProps {
  readonly port: number;
  readonly nowMs: number;
}

function KnownPort({ pool, store, hues, theme, port, nowMs }: KnownPortProps) {
  const block = blockAt(store, port);
  const asked = new URLSearchParams({ ip: store.ip, port: `${port}` });
  const link = <a href={`#/who?${asked}`}>Who used it?</a>;
  if (block === null) {
    const isReserved = port < FIRST_LEASABLE_PORT;
    return (
      <>
        <h2>Port {port}</h2>
        <p>{isReserved ? "Reserved: never leased to any host." : "Free: no host holds it."}</p>
        {!isReserved && <p>{link}</p>}
      </>
    );
  }
  const untilMs = untilMsOf(block, store);
  const colour = cssColour(hostColour(Math.max(0, hues.indexOf(block.host)), theme));
  return (
    <>
      <h2>
        Port {port} <span class="faint">{block.state === "leased" ? "leased" : "in quarantine"}</span>
      </h2>
      <Facts
        facts={[
          [
            "Host",
            <>
              <span class="swatch" style={{ background: colour }} aria-hidden="true" />
              {block.host}
            </>,
          ],
          ["Block", formatRange(rangeOf(block))],
          ["Epoch", block.epoch],
          ["Since", instant(block.grantedAtMs)],
          [
            block.state === "leased" ? "Until" : "Free again",
            untilMs === null ? "no time ends it" : `${instant(untilMs)} (${untilText(block, store, nowMs)})`,
          ],
          ["In use", useText(block, usesOf(pool, store.ip))],
          ["Routers", block.steered ? "have applied it" : "have yet to apply it"],
        ]}
      />
      <p>{link}</p>
    </>
  );
}

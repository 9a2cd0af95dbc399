/** Which hue is whose. Each is a switch: a host that is chosen stands out in the map, and the table shows it alone. */
import { useState } from "preact/hooks";
import { portCountOf } from "../../core/port-block.ts";
import type { AddressStore } from "../live/address-store.ts";
import { whole } from "../parts/words.ts";
import { cssColour, hostColour, type Theme } from "./colours.ts";
import type { HostHues } from "./host-hues.ts";

interface LegendProps {
  readonly store: AddressStore;
  readonly hues: HostHues;
  readonly theme: Theme;
  readonly chosen: string | null;
  readonly choose: (host: string | null) => void;
  readonly pointed: (host: string | null) => void;
}

const SHOWN_AT_FIRST = 16;

/** The legend. */
export function Legend({ store, hues, theme, chosen, choose, pointed }: LegendProps) {
  const [isWhole, setWhole] = useState(false);
  const held = new Map<string, number>();
  for (const { host, order, state } of store.blocks.values())
    held.set(host, (held.get(host) ?? 0) + (state === "leased" ? portCountOf(order) : 0));
  hues.see(held.keys());
  const hosts = [...held].toSorted(([a], [b]) => hues.indexOf(a) - hues.indexOf(b));
  const shown = isWhole ? hosts : hosts.slice(0, SHOWN_AT_FIRST);
  return (
    <section class="legend" aria-label="Hosts of this address">
      <ul onPointerLeave={() => pointed(null)}>
        {shown.map(([host, count]) => (
          <li key={host}>
            <button
              type="button"
              aria-pressed={chosen === host}
              data-host={host}
              data-hue-index={hues.indexOf(host)}
              onClick={() => choose(chosen === host ? null : host)}
              onPointerEnter={() => pointed(host)}
              title={host}
            >
              <span
                class="swatch"
                style={{ background: cssColour(hostColour(hues.indexOf(host), theme)) }}
                aria-hidden="true"
              />
              <span class="legend-name">{host}</span>
              <span class="faint">{whole(count)}</span>
            </button>
          </li>
        ))}
      </ul>
      {hosts.length > SHOWN_AT_FIRST && (
        <button type="button" class="quiet" onClick={() => setWhole(!isWhole)}>
          {isWhole ? "Show fewer" : `Show all ${hosts.length} hosts`}
        </button>
      )}
      <ul class="legend-keys" aria-label="Other signs of the map">
        <li>
          <span class="swatch key-quarantine" aria-hidden="true" /> hatched: quarantine
        </li>
        <li>
          <span class="swatch key-reserved" aria-hidden="true" /> grey: reserved
        </li>
        <li>
          <span class="swatch key-free" aria-hidden="true" /> blank: free
        </li>
        <li>
          <span class="swatch key-use" aria-hidden="true" /> the stronger, the more in use
        </li>
      </ul>
    </section>
  );
}

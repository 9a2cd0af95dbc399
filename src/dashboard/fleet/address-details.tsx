/** Everything about an address that a row has no room for, and what can be done with it. */
import { useState } from "preact/hooks";
import { LEASABLE_PORT_COUNT } from "../../core/port-block.ts";
import { ChangeButtons } from "../changes/change-buttons.tsx";
import { ChangeDialog } from "../changes/change-dialog.tsx";
import { addressChange, type AddressVerb } from "../changes/change.ts";
import { Facts, Mark } from "../parts/bits.tsx";
import { Dialog } from "../parts/dialog.tsx";
import { destinationText, instant, percent, whole } from "../parts/words.ts";
import type { Session } from "../session/session.ts";
import { fragmentOf } from "../shell/route.ts";
import type { AddressRow, HostRow } from "./attention.ts";

interface AddressDetailsProps {
  readonly pool: string;
  readonly ip: string;
  /** Null when it is gone meanwhile. */
  readonly row: AddressRow | null;
  readonly hosts: readonly HostRow[];
  readonly session: Session;
  readonly closed: () => void;
}

/** The dialog. */
export function AddressDetails({ pool, ip, row, hosts, session, closed }: AddressDetailsProps) {
  const [verb, ask] = useState<AddressVerb | null>(null);
  const serving = hosts.flatMap(({ host }) =>
    host.rooms.filter((room) => room.ip === ip).map((room) => ({ host, room })),
  );
  return (
    <Dialog title={`Address ${ip}`} closed={closed}>
      {row === null ? (
        <p>It is no more in the pool.</p>
      ) : (
        <>
          <p>
            <Mark level={row.level}>{row.why}</Mark>
          </p>
          <AddressFacts row={row} />
          <h3>Hosts that serve it</h3>
          {serving.length === 0 ? (
            <p class="faint">None.</p>
          ) : (
            <ul class="plain">
              {serving.slice(0, 64).map(({ host: { host, live }, room: { portCount, uplink } }) => (
                <li key={host}>
                  <strong>{host}</strong> {whole(portCount)} ports, uplink {uplink}
                  {live ? "" : ", not heard"}
                </li>
              ))}
              {serving.length > 64 && <li class="faint">and {whole(serving.length - 64)} more</li>}
            </ul>
          )}
          <p class="buttons">
            <a class="button" href={fragmentOf({ view: "map", pool, ip })}>
              Port map
            </a>
            {session.role === "admin" && (
              <ChangeButtons
                isDrained={row.ip.drain !== null}
                isRemovable={row.ip.retiring === null}
                ask={ask}
              />
            )}
          </p>
        </>
      )}
      {verb !== null && row !== null && (
        <ChangeDialog change={addressChange(verb, pool, row)} closed={() => ask(null)} />
      )}
    </Dialog>
  );
}

function AddressFacts({ row }: { readonly row: AddressRow }) {
  const { ip, heldCount, inUseCount } = row;
  const { advertised, country, sites, tags, drain, busiestDestination } = ip;
  return (
    <Facts
      facts={[
        [
          "Held",
          `${whole(heldCount)} ports (${percent(heldCount / LEASABLE_PORT_COUNT)}), spares not counted`,
        ],
        ["In use", inUseCount === null ? "not told" : `${whole(inUseCount)} ports`],
        [
          "Hottest destination",
          busiestDestination === null
            ? "none stands out"
            : `${destinationText(busiestDestination)}, ${whole(busiestDestination.portCount)} ports`,
        ],
        ["Seen from outside as", advertised ?? ip.ip],
        ["Country", country ?? "not said"],
        ["Sites", sites.length === 0 ? "everywhere" : sites.join(", ")],
        ["Tags", tags.length === 0 ? "none" : tags.join(", ")],
        [
          "Drain",
          drain === null
            ? "no"
            : `${drain.state} since ${instant(drain.sinceMs)}, ${whole(drain.portCount)} ports held`,
        ],
      ]}
    />
  );
}

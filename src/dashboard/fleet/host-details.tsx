/** Everything about a host that a row has no room for, and what can be done with it. */
import { useState } from "preact/hooks";
import { ChangeButtons } from "../changes/change-buttons.tsx";
import { ChangeDialog } from "../changes/change-dialog.tsx";
import { hostChange, type HostVerb } from "../changes/change.ts";
import { Facts, Mark } from "../parts/bits.tsx";
import { Dialog } from "../parts/dialog.tsx";
import { destinationText, instant, span, whole } from "../parts/words.ts";
import type { Session } from "../session/session.ts";
import type { HostRow } from "./attention.ts";

interface HostDetailsProps {
  readonly pool: string;
  readonly host: string;
  /** Null when it is gone meanwhile. */
  readonly row: HostRow | null;
  readonly nowMs: number;
  readonly session: Session;
  readonly closed: () => void;
}

/** The dialog. */
export function HostDetails({ pool, host, row, nowMs, session, closed }: HostDetailsProps) {
  const [verb, ask] = useState<HostVerb | null>(null);
  return (
    <Dialog title={`Host ${host}`} closed={closed}>
      {row === null ? (
        <p>The pool does not know it any more.</p>
      ) : (
        <>
          <p>
            <Mark level={row.level}>{row.why}</Mark>
          </p>
          <HostFacts row={row} nowMs={nowMs + row.clockOffsetMs} />
          <h3>Addresses that it serves</h3>
          <Rooms row={row} nowMs={nowMs + row.clockOffsetMs} />
          {session.role === "admin" && (
            <p class="buttons">
              <ChangeButtons isDrained={row.host.drain !== null} isRemovable ask={ask} />
            </p>
          )}
        </>
      )}
      {verb !== null && row !== null && (
        <ChangeDialog change={hostChange(verb, pool, row)} closed={() => ask(null)} />
      )}
    </Dialog>
  );
}

function HostFacts({ row, nowMs }: { readonly row: HostRow; readonly nowMs: number }) {
  const { host, watched, heldCount, inUseCount, renewedAtMs, renewsAtMs, endsAtMs } = row;
  return (
    <Facts
      facts={[
        ["Gateway", host.gateway],
        ["Site", host.site ?? "not said"],
        [
          "Reached by routers at",
          [host.reach.ipv4, host.reach.ipv6].filter((each) => each !== null).join(", ") || "not said",
        ],
        ["Weight", host.weight],
        ["Uplink", host.live ? host.uplink : `${host.uplink} when it was last heard`],
        [
          "Ports",
          `${whole(heldCount)} held, ${inUseCount === null ? "use not told" : `${whole(inUseCount)} in use`}`,
        ],
        [
          "Lease",
          renewedAtMs === null || endsAtMs === null
            ? "not told"
            : `renewed ${span(nowMs - renewedAtMs)} ago, ends ${endsAtMs > nowMs ? `in ${span(endsAtMs - nowMs)}` : "now"}`,
        ],
        ["Next renewal", renewsAtMs === null ? "not told" : instant(renewsAtMs)],
        ["Version", watched?.version ?? (host.live ? "too old to tell" : "not told")],
        ["Runs since", watched === null ? "not told" : instant(watched.startedAtMs)],
        ["Data processes", watched === null ? "not told" : whole(watched.processCount)],
        ["Under way", watched === null ? "not told" : whole(watched.runningCount)],
        ["Policy", host.policyVersion ?? "not told"],
        [
          "Slots",
          host.slots.length === 0
            ? "none of its own"
            : host.slots.map(({ ip, firstPort, lastPort }) => `${ip} ${firstPort}–${lastPort}`).join(", "),
        ],
      ]}
    />
  );
}

function Rooms({ row, nowMs }: { readonly row: HostRow; readonly nowMs: number }) {
  const { host, watched } = row;
  if (host.rooms.length === 0) return <p class="faint">None.</p>;
  return (
    <ul class="plain">
      {host.rooms.slice(0, 64).map(({ ip, portCount, uplink, busiestDestination, busiestCount }) => {
        const renewsAtMs = watched?.addresses.find((address) => address.ip === ip)?.renewsAtMs ?? null;
        return (
          <li key={ip}>
            <strong>{ip}</strong> {whole(portCount)} ports, uplink {uplink}
            {busiestDestination !== null &&
              `, ${whole(busiestCount)} to ${destinationText(busiestDestination)}`}
            {renewsAtMs !== null && renewsAtMs > nowMs && `, renewed in ${span(renewsAtMs - nowMs)}`}
          </li>
        );
      })}
      {host.rooms.length > 64 && <li class="faint">and {whole(host.rooms.length - 64)} more</li>}
    </ul>
  );
}

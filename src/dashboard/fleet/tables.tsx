/** Addresses, hosts and routers, row by row. */
import { LEASABLE_PORT_COUNT } from "../../core/port-block.ts";
import type { PoolStore } from "../live/pool-store.ts";
import { Bar, Mark } from "../parts/bits.tsx";
import { type Column, VirtualTable } from "../parts/virtual-table.tsx";
import { counted, destinationText, span, whole } from "../parts/words.ts";
import type { AddressRow, HostRow, RouterRow, Standing } from "./attention.ts";

const BY_ATTENTION = "what needs attention first";
const byText = new Intl.Collator("en", { numeric: true }).compare;
const LEVELS = ["bad", "short", "note", "good"];

function state<Row extends Standing>(): Column<Row> {
  return {
    key: "state",
    title: "State",
    weight: 2.4,
    narrowWeight: 1.7,
    cell: ({ level, why }) => (
      <Mark level={level}>
        <span title={why}>{why}</span>
      </Mark>
    ),
    order: (a, b) => LEVELS.indexOf(a.level) - LEVELS.indexOf(b.level),
  };
}

function opener(name: string, open: (name: string) => void) {
  return (
    <button type="button" class="link" onClick={() => open(name)} title={`Details of ${name}`}>
      {name}
    </button>
  );
}

/** The addresses of a pool. */
export function AddressTable({
  rows,
  open,
}: {
  readonly rows: readonly AddressRow[];
  readonly open: (ip: string) => void;
}) {
  const columns: readonly Column<AddressRow>[] = [
    {
      key: "ip",
      title: "Address",
      isHeader: true,
      weight: 1.6,
      cell: ({ ip }) => opener(ip.ip, open),
      order: (a, b) => byText(a.ip.ip, b.ip.ip),
    },
    state(),
    {
      key: "held",
      title: "Leased",
      weight: 1.2,
      cell: ({ heldCount, level }) => (
        <Bar
          part={heldCount / LEASABLE_PORT_COUNT}
          label={`${whole(heldCount)} of ${whole(LEASABLE_PORT_COUNT)} ports`}
          level={level === "short" || level === "bad" ? level : "good"}
        />
      ),
      order: (a, b) => a.heldCount - b.heldCount,
    },
    {
      key: "ports",
      title: "Ports",
      isNumber: true,
      isWideOnly: true,
      weight: 0.8,
      cell: ({ heldCount }) => whole(heldCount),
      order: (a, b) => a.heldCount - b.heldCount,
    },
    {
      key: "used",
      title: "In use",
      isNumber: true,
      isWideOnly: true,
      weight: 0.8,
      cell: ({ inUseCount }) => (inUseCount === null ? "–" : whole(inUseCount)),
      order: (a, b) => (a.inUseCount ?? -1) - (b.inUseCount ?? -1),
    },
    {
      key: "hosts",
      title: "Hosts",
      isNumber: true,
      isWideOnly: true,
      weight: 0.6,
      cell: ({ liveHostCount }) => whole(liveHostCount),
      order: (a, b) => a.liveHostCount - b.liveHostCount,
    },
    {
      key: "hottest",
      title: "Hottest destination",
      isWideOnly: true,
      weight: 2,
      cell: ({ ip: { busiestDestination } }) =>
        busiestDestination === null
          ? "none"
          : `${destinationText(busiestDestination)}: ${whole(busiestDestination.portCount)}`,
      order: (a, b) => (a.ip.busiestDestination?.portCount ?? 0) - (b.ip.busiestDestination?.portCount ?? 0),
    },
  ];
  return (
    <VirtualTable
      caption={`Addresses (${whole(rows.length)})`}
      columns={columns}
      rows={rows}
      keyOf={({ ip }) => ip.ip}
      rowClass={({ level }) => `row-${level}`}
      empty="This pool has no address yet."
      usualOrder={BY_ATTENTION}
      testId="addresses"
    />
  );
}

/** The hosts of a pool. */
export function HostTable({
  rows,
  nowMs,
  open,
}: {
  readonly rows: readonly HostRow[];
  readonly nowMs: number;
  readonly open: (host: string) => void;
}) {
  const columns: readonly Column<HostRow>[] = [
    {
      key: "host",
      title: "Host",
      isHeader: true,
      weight: 1.6,
      cell: ({ host }) => opener(host.host, open),
      order: (a, b) => byText(a.host.host, b.host.host),
    },
    state(),
    {
      key: "used",
      title: "Ports in use",
      weight: 1.2,
      cell: ({ inUseCount, heldCount, level }) => (
        <Bar
          part={inUseCount === null || heldCount === 0 ? null : inUseCount / heldCount}
          label={`${whole(inUseCount ?? 0)} of ${whole(heldCount)} leased ports`}
          level={level === "short" || level === "bad" ? level : "good"}
        />
      ),
      order: (a, b) => (a.inUseCount ?? -1) / (a.heldCount || 1) - (b.inUseCount ?? -1) / (b.heldCount || 1),
    },
    {
      key: "held",
      title: "Leased",
      isNumber: true,
      isWideOnly: true,
      weight: 0.7,
      cell: ({ heldCount }) => whole(heldCount),
      order: (a, b) => a.heldCount - b.heldCount,
    },
    {
      key: "addresses",
      title: "Addresses",
      isNumber: true,
      isWideOnly: true,
      weight: 0.8,
      cell: ({ host: { rooms } }) => whole(rooms.length),
      order: (a, b) => a.host.rooms.length - b.host.rooms.length,
    },
    {
      key: "lease",
      title: "Lease age",
      isNumber: true,
      isWideOnly: true,
      weight: 0.8,
      cell: ({ renewedAtMs }) => (renewedAtMs === null ? "–" : span(nowMs - renewedAtMs)),
      order: (a, b) => (b.renewedAtMs ?? Infinity) - (a.renewedAtMs ?? Infinity),
    },
    {
      key: "renewal",
      title: "Renewal",
      isNumber: true,
      isWideOnly: true,
      weight: 0.8,
      cell: ({ renewsAtMs }) => (renewsAtMs === null ? "–" : renewalText(renewsAtMs, nowMs)),
      order: (a, b) => (a.renewsAtMs ?? Infinity) - (b.renewsAtMs ?? Infinity),
    },
    {
      key: "processes",
      title: "Proc.",
      isNumber: true,
      isWideOnly: true,
      weight: 0.5,
      cell: ({ watched }) => (watched === null ? "–" : whole(watched.processCount)),
    },
    {
      key: "version",
      title: "Version",
      isWideOnly: true,
      weight: 0.7,
      cell: ({ watched }) => watched?.version ?? "–",
      order: (a, b) => byText(a.watched?.version ?? "", b.watched?.version ?? ""),
    },
    {
      key: "uplink",
      title: "Uplink",
      isWideOnly: true,
      weight: 0.7,
      cell: ({ host: { uplink } }) => uplink,
      order: (a, b) => byText(a.host.uplink, b.host.uplink),
    },
  ];
  return (
    <VirtualTable
      caption={`Hosts (${whole(rows.length)})`}
      columns={columns}
      rows={rows}
      keyOf={({ host }) => host.host}
      rowClass={({ level }) => `row-${level}`}
      empty="No host has enlisted yet."
      usualOrder={BY_ATTENTION}
      testId="hosts"
    />
  );
}

/** The routers of a pool. */
export function RouterTable({
  rows,
  store,
  nowMs,
}: {
  readonly rows: readonly RouterRow[];
  readonly store: PoolStore;
  readonly nowMs: number;
}) {
  const columns: readonly Column<RouterRow>[] = [
    {
      key: "router",
      title: "Router",
      isHeader: true,
      weight: 1.6,
      narrowWeight: 1,
      cell: ({ router }) => router.router,
    },
    state(),
    {
      key: "acknowledged",
      title: "Acknowledged",
      narrowWeight: 1.3,
      isNumber: true,
      cell: ({ router }) => (router.acknowledged === null ? "nothing" : whole(router.acknowledged)),
      order: (a, b) => (a.router.acknowledged ?? -1) - (b.router.acknowledged ?? -1),
    },
    {
      key: "lag",
      title: "Lag",
      isNumber: true,
      isWideOnly: true,
      cell: ({ behindCount }) => (behindCount === null ? "–" : counted(behindCount, "change")),
      order: (a, b) => (a.behindCount ?? Infinity) - (b.behindCount ?? Infinity),
    },
    {
      key: "seen",
      title: "Last heard",
      isNumber: true,
      isWideOnly: true,
      cell: ({ router }) => `${span(nowMs - router.seenAtMs)} ago`,
      order: (a, b) => a.router.seenAtMs - b.router.seenAtMs,
    },
  ];
  return (
    <VirtualTable
      caption={`Routers (${whole(rows.length)}), the last change is number ${whole(store.rest?.steeringSequence ?? 0)}`}
      columns={columns}
      rows={rows}
      keyOf={({ router }) => router.router}
      rowClass={({ level }) => `row-${level}`}
      empty="No router steers what comes back: this pool does without."
      usualOrder={BY_ATTENTION}
      heightRows={6}
      testId="routers"
    />
  );
}

function renewalText(renewsAtMs: number, nowMs: number): string {
  return renewsAtMs >= nowMs ? `in ${span(renewsAtMs - nowMs)}` : `${span(nowMs - renewsAtMs)} late`;
}

/** The hosts of a pool, row by row. */
import { Bar } from "../parts/bits.tsx";
import { type Column, VirtualTable } from "../parts/virtual-table.tsx";
import { span, whole } from "../parts/words.ts";
import type { HostRow } from "./attention.ts";
import { BY_ATTENTION, byText, Opener, stateColumn } from "./columns.tsx";

interface HostTableProps {
  readonly rows: readonly HostRow[];
  readonly nowMs: number;
  readonly open: (host: string) => void;
}

const PORTS: readonly Column<HostRow>[] = [
  stateColumn(),
  {
    key: "used",
    title: "In use",
    weight: 1.2,
    cell: ({ inUseCount, heldCount, level }) => (
      <Bar
        part={inUseCount === null ? null : inUseCount / Math.max(1, heldCount)}
        label={`${whole(inUseCount ?? 0)} of ${whole(heldCount)} ports`}
        level={level === "short" || level === "bad" ? level : "good"}
      />
    ),
    order: (a, b) => (a.inUseCount ?? -1) / (a.heldCount || 1) - (b.inUseCount ?? -1) / (b.heldCount || 1),
  },
  {
    key: "held",
    title: "Held",
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
];

const PROGRAM: readonly Column<HostRow>[] = [
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
    cell: ({ host: { uplink, live } }) => (live ? uplink : "–"),
    order: (a, b) => byText(a.host.uplink, b.host.uplink),
  },
];

/** The table. */
export function HostTable({ rows, nowMs, open }: HostTableProps) {
  const name: Column<HostRow> = {
    key: "host",
    title: "Host",
    isHeader: true,
    weight: 1.6,
    cell: ({ host }) => <Opener name={host.host} open={open} />,
    order: (a, b) => byText(a.host.host, b.host.host),
  };
  return (
    <VirtualTable
      caption={`Hosts (${whole(rows.length)})`}
      columns={[name, ...PORTS, ...timesAt(nowMs), ...PROGRAM]}
      rows={rows}
      keyOf={({ host }) => host.host}
      rowClass={({ level }) => `row-${level}`}
      empty="No host has enlisted yet."
      usualOrder={BY_ATTENTION}
      testId="hosts"
    />
  );
}

function timesAt(nowMs: number): readonly Column<HostRow>[] {
  return [
    {
      key: "lease",
      title: "Lease age",
      isNumber: true,
      isWideOnly: true,
      weight: 0.8,
      cell: ({ renewedAtMs, clockOffsetMs }) =>
        renewedAtMs === null ? "–" : span(nowMs + clockOffsetMs - renewedAtMs),
      order: (a, b) => (b.renewedAtMs ?? Infinity) - (a.renewedAtMs ?? Infinity),
    },
    {
      key: "renewal",
      title: "Renewal",
      isNumber: true,
      isWideOnly: true,
      weight: 0.8,
      cell: ({ renewsAtMs, clockOffsetMs }) =>
        renewsAtMs === null ? "–" : renewalText(renewsAtMs, nowMs + clockOffsetMs),
      order: (a, b) => (a.renewsAtMs ?? Infinity) - (b.renewsAtMs ?? Infinity),
    },
  ];
}

function renewalText(renewsAtMs: number, nowMs: number): string {
  return renewsAtMs >= nowMs ? `in ${span(renewsAtMs - nowMs)}` : `${span(nowMs - renewsAtMs)} late`;
}

/** The addresses of a pool, row by row. */
import { LEASABLE_PORT_COUNT } from "../../core/port-block.ts";
import { Bar } from "../parts/bits.tsx";
import { type Column, VirtualTable } from "../parts/virtual-table.tsx";
import { destinationText, whole } from "../parts/words.ts";
import type { AddressRow } from "./attention.ts";
import { BY_ATTENTION, byText, Opener, stateColumn } from "./columns.tsx";

interface AddressTableProps {
  readonly rows: readonly AddressRow[];
  readonly open: (ip: string) => void;
}

const COLUMNS: readonly Column<AddressRow>[] = [
  stateColumn(),
  {
    key: "held",
    title: "Held",
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
        ? "none stands out"
        : `${destinationText(busiestDestination)}: ${whole(busiestDestination.portCount)}`,
    order: (a, b) => (a.ip.busiestDestination?.portCount ?? 0) - (b.ip.busiestDestination?.portCount ?? 0),
  },
];

/** The table. */
export function AddressTable({ rows, open }: AddressTableProps) {
  const name: Column<AddressRow> = {
    key: "ip",
    title: "Address",
    isHeader: true,
    weight: 1.6,
    cell: ({ ip }) => <Opener name={ip.ip} open={open} />,
    order: (a, b) => byText(a.ip.ip, b.ip.ip),
  };
  return (
    <VirtualTable
      caption={`Addresses (${whole(rows.length)})`}
      columns={[name, ...COLUMNS]}
      rows={rows}
      keyOf={({ ip }) => ip.ip}
      rowClass={({ level }) => `row-${level}`}
      empty="This pool has no address yet."
      usualOrder={BY_ATTENTION}
      testId="addresses"
    />
  );
}

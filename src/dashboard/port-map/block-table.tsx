/** Every block of an address, as a table. */
import { portCountOf } from "../../core/port-block.ts";
import type { AddressBlock, AddressStore } from "../live/address-store.ts";
import type { PoolStore } from "../live/pool-store.ts";
import { Mark } from "../parts/bits.tsx";
import { useNow, useSignalsSlowly } from "../parts/use-signals.ts";
import { type Column, VirtualTable } from "../parts/virtual-table.tsx";
import { instant, ports } from "../parts/words.ts";
import { untilMsOf, untilText, useText } from "./block-facts.ts";
import { type BlockUses, useKey, usesOf } from "./picture.ts";

interface BlockTableProps {
  readonly pool: PoolStore;
  readonly store: AddressStore;
  /** Blocks of this host alone; null for all. */
  readonly host: string | null;
  readonly pointed: (port: number | null) => void;
}

/** The table. */
export function BlockTable({ pool, store, host, pointed }: BlockTableProps) {
  useSignalsSlowly(store.changed, pool.watchedChanged);
  const nowMs = useNow(5000);
  const uses = usesOf(pool, store.ip);
  const rows = [...store.blocks.values()]
    .filter((block) => host === null || block.host === host)
    .toSorted((a, b) => a.base - b.base);
  return (
    <VirtualTable
      caption={host === null ? `Blocks of ${store.ip}` : `Blocks of ${store.ip} that ${host} has`}
      columns={columnsOf(store, uses, nowMs)}
      rows={rows}
      keyOf={({ epoch }) => epoch}
      heightRows={12}
      empty="No host holds any port of this address."
      usualOrder="by port"
      pointed={(block) => pointed(block?.base ?? null)}
      testId="blocks"
    />
  );
}

function columnsOf(store: AddressStore, uses: BlockUses, nowMs: number): readonly Column<AddressBlock>[] {
  const used = ({ host, base }: AddressBlock): number => uses.counts.get(useKey(host, base)) ?? -1;
  return [
    {
      key: "ports",
      title: "Ports",
      isHeader: true,
      weight: 1.3,
      narrowWeight: 1.7,
      cell: ({ base, order }) => ports(base, base + portCountOf(order) - 1),
      order: (a, b) => a.base - b.base,
    },
    {
      key: "host",
      title: "Host",
      weight: 1.6,
      narrowWeight: 1.4,
      cell: ({ host }) => host,
      order: (a, b) => a.host.localeCompare(b.host) || a.base - b.base,
    },
    {
      key: "state",
      title: "State",
      weight: 1.1,
      narrowWeight: 1.5,
      cell: ({ state }) => (
        <Mark level={state === "leased" ? "good" : "note"}>
          {state === "leased" ? "leased" : "quarantine"}
        </Mark>
      ),
      order: (a, b) => a.state.localeCompare(b.state),
    },
    {
      key: "use",
      title: "In use",
      weight: 1.4,
      isWideOnly: true,
      cell: (block) => useText(block, uses),
      order: (a, b) => used(a) - used(b),
    },
    {
      key: "epoch",
      title: "Epoch",
      isNumber: true,
      isWideOnly: true,
      cell: ({ epoch }) => `${epoch}`,
      order: (a, b) => a.epoch - b.epoch,
    },
    {
      key: "since",
      title: "Since",
      weight: 1.7,
      isWideOnly: true,
      cell: ({ grantedAtMs }) => instant(grantedAtMs),
      order: (a, b) => a.grantedAtMs - b.grantedAtMs,
    },
    {
      key: "until",
      title: "Until",
      weight: 0.9,
      isWideOnly: true,
      cell: (block) => untilText(block, store, nowMs),
      order: (a, b) => (untilMsOf(a, store) ?? Infinity) - (untilMsOf(b, store) ?? Infinity),
    },
  ];
}

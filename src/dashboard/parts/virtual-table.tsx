/** A real table of any length of which only what is seen is drawn. Rows are of one height. */
import type { ComponentChildren } from "preact";
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { useNarrow } from "./narrow.ts";
import { beforeFrame } from "./signal.ts";

/** A column. */
export interface Column<Row> {
  readonly key: string;
  readonly title: string;
  readonly cell: (row: Row) => ComponentChildren;
  /** Not on narrow screens; the details have it. */
  readonly isWideOnly?: boolean;
  /** Its weight on narrow screens, if it is another. */
  readonly narrowWeight?: number;
  readonly isNumber?: boolean;
  /** What the row is known by, for those who hear it. */
  readonly isHeader?: boolean;
  /** Part of the width, compared with the others; 1 if not said. */
  readonly weight?: number;
  /** What the column can be sorted by. */
  readonly order?: (a: Row, b: Row) => number;
}

interface VirtualTableProps<Row> {
  readonly caption: string;
  readonly columns: readonly Column<Row>[];
  readonly rows: readonly Row[];
  readonly keyOf: (row: Row) => string | number;
  /** Said in place of rows. */
  readonly empty: string;
  readonly heightRows?: number;
  readonly rowClass?: (row: Row) => string;
  readonly pointed?: (row: Row | null) => void;
  /** How its rows lie when nobody has chosen a column; it is said beside the caption. */
  readonly usualOrder?: string;
  /** Told when the first row has gone out of sight, and when it has come back. */
  readonly left?: (isAway: boolean) => void;
  readonly testId?: string;
}

/** Pixels of a row; the style sheet has the same. */
const ROW_HEIGHT = 36;
const HEAD_HEIGHT = 78;
const AROUND = 8;

interface Sorting {
  readonly key: string;
  readonly isDown: boolean;
}

/** The table. */
export function VirtualTable<Row>(props: VirtualTableProps<Row>) {
  const { caption, heightRows = 10, pointed, testId } = props;
  const isNarrow = useNarrow();
  const columns = isNarrow ? props.columns.filter(({ isWideOnly = false }) => !isWideOnly) : props.columns;
  const [sorting, setSorting] = useState<Sorting | null>(null);
  const rows = sorted(props.rows, columns, sorting);
  const { box, seen, scrolled } = useSeen(props.left);
  const weightOf = ({ weight = 1, narrowWeight = weight }: Column<Row>): number =>
    isNarrow ? narrowWeight : weight;
  const total = columns.reduce((sum, column) => sum + weightOf(column), 0);
  const order =
    sorting === null ? props.usualOrder : `by ${columns.find(({ key }) => key === sorting.key)?.title}`;
  return (
    <div
      class="table-box"
      ref={box}
      role="region"
      aria-label={`${caption}, scrollable`}
      tabIndex={0}
      onScroll={scrolled}
      onPointerLeave={() => pointed?.(null)}
      style={{ maxHeight: `${heightRows * ROW_HEIGHT + HEAD_HEIGHT}px` }}
      data-testid={testId}
    >
      <table aria-rowcount={rows.length + 1}>
        <caption>
          {caption}
          <span class="order-said">{order}</span>
        </caption>
        <thead>
          <tr aria-rowindex={1}>
            {columns.map((column) => (
              <HeadCell
                key={column.key}
                column={column}
                part={weightOf(column) / total}
                sorting={sorting}
                choose={setSorting}
              />
            ))}
          </tr>
        </thead>
        <Body {...props} columns={columns} rows={rows} seen={seen} />
      </table>
    </div>
  );
}

/** Rows that are drawn, from the first on. */
interface Seen {
  readonly first: number;
  readonly count: number;
}

/** Which rows are seen of a box that scrolls. */
function useSeen(left: ((isAway: boolean) => void) | undefined) {
  const box = useRef<HTMLDivElement>(null);
  const [seen, setSeen] = useState<Seen>({ first: 0, count: 30 });
  const latest = useRef(left);
  latest.current = left;
  const look = useRef(() => {
    const { scrollTop = 0, clientHeight = 0 } = box.current ?? {};
    latest.current?.(scrollTop > ROW_HEIGHT);
    const first = Math.max(0, Math.floor(scrollTop / ROW_HEIGHT) - AROUND);
    const count = Math.ceil(clientHeight / ROW_HEIGHT) + AROUND * 2;
    setSeen((before) => (before.first === first && before.count === count ? before : { first, count }));
  }).current;
  const scrolled = useRef(() => beforeFrame(look)).current;
  useLayoutEffect(() => {
    const observer = new ResizeObserver(scrolled);
    observer.observe(box.current!);
    look();
    return () => observer.disconnect();
  }, []);
  return { box, seen, scrolled };
}

function Body<Row>(props: VirtualTableProps<Row> & { readonly seen: Seen }) {
  const { columns, rows, keyOf, rowClass, pointed, seen } = props;
  const first = Math.min(seen.first, Math.max(0, rows.length - seen.count));
  const shown = rows.slice(first, first + seen.count);
  const below = Math.max(0, rows.length - first - shown.length);
  return (
    <tbody>
      {rows.length === 0 && (
        <tr>
          <td class="empty" colSpan={columns.length}>
            {props.empty}
          </td>
        </tr>
      )}
      {first > 0 && <Gap height={first * ROW_HEIGHT} />}
      {shown.map((row, at) => (
        <tr
          key={keyOf(row)}
          aria-rowindex={first + at + 2}
          class={rowClass?.(row) ?? ""}
          onPointerEnter={pointed === undefined ? undefined : () => pointed(row)}
        >
          {columns.map((column) => (
            <Cell key={column.key} column={column} row={row} />
          ))}
        </tr>
      ))}
      {below > 0 && <Gap height={below * ROW_HEIGHT} />}
    </tbody>
  );
}

function Gap({ height }: { readonly height: number }) {
  return (
    <tr aria-hidden="true" class="gap">
      <td style={{ height: `${height}px` }} />
    </tr>
  );
}

function Cell<Row>({ column, row }: { readonly column: Column<Row>; readonly row: Row }) {
  const look = classOf(column);
  const content = column.cell(row);
  const title = typeof content === "string" ? content : undefined;
  return column.isHeader === true ? (
    <th scope="row" class={look} title={title}>
      {content}
    </th>
  ) : (
    <td class={look} title={title}>
      {content}
    </td>
  );
}

interface HeadCellProps<Row> {
  readonly column: Column<Row>;
  readonly part: number;
  readonly sorting: Sorting | null;
  readonly choose: (sorting: Sorting | null) => void;
}

/** Chosen once it sorts upward, twice downward, a third time as usual. */
function HeadCell<Row>({ column, part, sorting, choose }: HeadCellProps<Row>) {
  const { key, title, order } = column;
  const own = sorting?.key === key ? sorting : null;
  const next = own === null ? { key, isDown: column.isNumber === true } : { key, isDown: !own.isDown };
  const isLast = own !== null && own.isDown !== (column.isNumber === true);
  return (
    <th
      scope="col"
      class={classOf(column)}
      style={{ width: `${part * 100}%` }}
      aria-sort={own === null ? undefined : own.isDown ? "descending" : "ascending"}
    >
      {order === undefined ? (
        title
      ) : (
        <button type="button" class="sorter" onClick={() => choose(isLast ? null : next)}>
          {title}
          <span aria-hidden="true">{own === null ? "" : own.isDown ? " ↓" : " ↑"}</span>
        </button>
      )}
    </th>
  );
}

function classOf<Row>({ isNumber = false }: Column<Row>): string {
  return isNumber ? "number" : "";
}

function sorted<Row>(
  rows: readonly Row[],
  columns: readonly Column<Row>[],
  sorting: Sorting | null,
): readonly Row[] {
  const order = columns.find(({ key }) => key === sorting?.key)?.order;
  if (order === undefined) return rows;
  return rows.toSorted((a, b) => (sorting?.isDown === true ? order(b, a) : order(a, b)));
}

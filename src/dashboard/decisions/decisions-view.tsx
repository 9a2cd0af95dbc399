/** What hosts decide about flows, as they decide it. */
import { useEffect, useState } from "preact/hooks";
import { type HeardDecision, MOST_DECISIONS, type PoolStore } from "../live/pool-store.ts";
import { Mark } from "../parts/bits.tsx";
import type { Level } from "../parts/level.ts";
import { useNarrow } from "../parts/narrow.ts";
import { refusalTitle } from "../parts/refusal-title.ts";
import { useSignalsSlowly } from "../parts/use-signals.ts";
import { type Column, VirtualTable } from "../parts/virtual-table.tsx";
import { clock, counted, instant, placeText, took, whole } from "../parts/words.ts";
import { type DecisionFilter, filtered } from "./decision-filter.ts";

interface DecisionsViewProps {
  readonly pool: string;
  readonly store: PoolStore;
}

const LEVELS: Readonly<Record<HeardDecision["decision"], Level>> = {
  answered: "good",
  admitted: "note",
  refused: "short",
};

const COLUMNS: readonly Column<HeardDecision>[] = [
  {
    key: "time",
    title: "Time",
    weight: 0.9,
    narrowWeight: 1.3,
    cell: ({ atMs }) => <time title={instant(atMs)}>{clock(atMs)}</time>,
  },
  {
    key: "decision",
    title: "Decision",
    isWideOnly: true,
    weight: 1.1,
    cell: ({ decision }) => <Mark level={LEVELS[decision]}>{decision}</Mark>,
  },
  { key: "what", title: "What", isHeader: true, weight: 3, cell: (row) => <What row={row} /> },
  { key: "host", title: "Host", isWideOnly: true, weight: 1.2, cell: ({ host }) => host },
  {
    key: "from",
    title: "From",
    isWideOnly: true,
    weight: 1.6,
    cell: ({ ip, port }) => (ip === undefined ? "–" : placeText(ip, port)),
  },
  {
    key: "who",
    title: "Tenant, client",
    isWideOnly: true,
    weight: 1.5,
    cell: ({ tenant, client }) =>
      [tenant, client].filter((each) => each !== undefined && each !== "").join(", ") || "–",
  },
  {
    key: "took",
    title: "Took",
    isNumber: true,
    isWideOnly: true,
    weight: 0.7,
    cell: ({ tookMs }) => (tookMs === undefined ? "–" : took(tookMs)),
  },
  {
    key: "request",
    title: "Request",
    isWideOnly: true,
    weight: 1.4,
    cell: ({ requestId }) => requestId ?? "–",
  },
];

/** The view. */
export function DecisionsView({ store }: DecisionsViewProps) {
  useSignalsSlowly(store.decisionsChanged);
  const [filter, setFilter] = useState<DecisionFilter>({ decision: "all", words: "" });
  const [held, hold] = useState<readonly HeardDecision[] | null>(null);
  const [isPaused, pause] = useState(false);
  // Who has scrolled reads: rows stay where they are until the first is seen again.
  const [isAway, setAway] = useState(false);
  const isHeld = isPaused || isAway;
  useEffect(() => hold(isHeld ? store.decisions : null), [isHeld]);
  const known = held ?? store.decisions;
  const rows = filtered(known, filter).toReversed();
  const newer = held === null ? 0 : (store.decisions.at(-1)?.number ?? 0) - (held.at(-1)?.number ?? 0);
  return (
    <>
      <div class="view-head">
        <h1>Decisions</h1>
        <p class="faint">
          As hosts make them, while somebody looks. The last {whole(MOST_DECISIONS)} are kept here. What the
          edge refuses by itself is counted under Time.
        </p>
      </div>
      <form class="filters" role="search" aria-label="Decisions" onSubmit={(event) => event.preventDefault()}>
        <label class="inline-field">
          <span>Decision</span>
          <select
            value={filter.decision}
            onChange={(event) =>
              setFilter({ ...filter, decision: event.currentTarget.value as DecisionFilter["decision"] })
            }
          >
            <option value="all">all</option>
            <option value="refused">refused</option>
            <option value="answered">answered</option>
            <option value="admitted">admitted</option>
          </select>
        </label>
        <label class="inline-field grow">
          <span>With these words</span>
          <input
            type="search"
            value={filter.words}
            placeholder="host, code, tenant, address, request"
            onInput={(event) => setFilter({ ...filter, words: event.currentTarget.value })}
          />
        </label>
        <button type="button" aria-pressed={isPaused} onClick={() => pause(!isPaused)}>
          {isPaused ? "Go on" : "Pause"}
        </button>
      </form>
      <p class="faint" data-testid="decision-count">
        {whole(rows.length)} of {counted(known.length, "decision")} shown
        {newer > 0 && `, ${whole(newer)} newer ones wait`}
        {store.lostDecisionCount > 0 && `, ${whole(store.lostDecisionCount)} were too many to be told`}.
      </p>
      <VirtualTable
        caption="Decisions"
        columns={COLUMNS}
        rows={rows}
        keyOf={({ number }) => number}
        heightRows={16}
        rowClass={({ decision }) => `decision-${decision}`}
        empty={
          known.length === 0 ? "Nothing was decided since this was opened." : "No decision is like that."
        }
        usualOrder="the newest first"
        left={setAway}
        testId="decisions"
      />
    </>
  );
}

function What({ row }: { readonly row: HeardDecision }) {
  const { code, kind, status } = row;
  if (code !== undefined)
    return (
      <span title={refusalTitle(code)}>
        <NarrowMark row={row} />
        <code>{code}</code> <span class="faint">{refusalTitle(code)}</span>
      </span>
    );
  return (
    <span>
      <NarrowMark row={row} />
      {kind ?? (status === undefined ? "request" : `status ${status}`)}
    </span>
  );
}

/** Where the column of decisions has no room. */
function NarrowMark({ row: { decision } }: { readonly row: HeardDecision }) {
  if (!useNarrow()) return null;
  return (
    <Mark level={LEVELS[decision]}>
      <span class="only-heard">{decision} </span>
    </Mark>
  );
}

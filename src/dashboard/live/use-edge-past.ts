/** What the edge itself remembers. */
import { useEffect, useState } from "preact/hooks";
import type { PastCounts } from "../../core/live-view.ts";
import { callEdge } from "../session/edge-call.ts";

const EDGE_ASKED_MS = 60_000;

/** What the edge refused before any host was asked; null where no one isolate knows that. */
export function useEdgePast(): PastCounts | null {
  const [past, setPast] = useState<PastCounts | null>(null);
  useEffect(() => {
    const ask = (): void => {
      callEdge<{ readonly past: PastCounts | null }>("GET", "/dashboard/edge-past").then(
        (told) => setPast(told.past),
        // It stays as it was; that the edge cannot be asked is told elsewhere.
        () => {},
      );
    };
    ask();
    const timer = setInterval(ask, EDGE_ASKED_MS);
    return () => clearInterval(timer);
  }, []);
  return past;
}

/** The pools that can be looked at. */
import { useEffect, useState } from "preact/hooks";
import { callEdge, wordsOf } from "../session/edge-call.ts";
import type { Session } from "../session/session.ts";

interface KnownPools {
  readonly names: readonly string[];
  readonly fault: string | null;
  readonly isKnown: boolean;
}

/** Asked once; empty until then. */
export function usePools(session: Session): KnownPools {
  const [known, setKnown] = useState<KnownPools>({ names: [], fault: null, isKnown: false });
  useEffect(() => {
    callEdge<{ readonly pools: readonly string[] }>("GET", "/v1/pools").then(
      ({ pools }) => setKnown({ names: pools.toSorted(), fault: null, isKnown: true }),
      (fault: unknown) => setKnown({ names: session.pools, fault: wordsOf(fault), isKnown: true }),
    );
  }, [session]);
  return known;
}

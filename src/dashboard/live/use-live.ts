/** Stores that live as long as what shows them. */
import { useEffect, useMemo, useRef } from "preact/hooks";
import type { LookRequest } from "../../core/live-view.ts";
import { callEdge, Refused } from "../session/edge-call.ts";
import { AddressStore } from "./address-store.ts";
import { pathPart } from "../parts/words.ts";
import { LiveSocket } from "./live-socket.ts";
import { PoolStore } from "./pool-store.ts";

/** Not permitted, and not there. */
const LASTING: ReadonlySet<number> = new Set([400, 403, 404]);

/** The code by which the edge refuses what is looked at; an answer of 401 ends the session by itself. */
async function refusalOf(path: string): Promise<string> {
  try {
    await callEdge("GET", path);
  } catch (fault) {
    // Of what comes and goes by itself the connection is only lost.
    if (fault instanceof Refused && LASTING.has(fault.status)) return fault.code;
  }
  return "";
}

/** A pool, looked at; `wish` says what is wanted of it beside its state. */
export function usePool(
  pool: string,
  wish: Omit<LookRequest, "type">,
  ended: (reason: string) => void,
): PoolStore {
  const store = useMemo(() => new PoolStore(), [pool]);
  const socket = useRef<LiveSocket | null>(null);
  useEffect(() => {
    const made = new LiveSocket(`/dashboard/live/pools/${pathPart(pool)}`, {
      heard: (message) => store.heard(message),
      stood: (state, why) => store.stood(state, why),
      ended,
      whyUnopened: () => refusalOf(`/v1/pools/${pathPart(pool)}`),
    });
    socket.current = made;
    return () => made.close();
  }, [store]);
  const { past = false, decisions = false } = wish;
  useEffect(() => socket.current?.wish({ past, decisions }), [store, past, decisions]);
  return store;
}

/** An address, looked at; null for none. */
export function useAddress(ip: string | null, ended: (reason: string) => void): AddressStore | null {
  const store = useMemo(() => (ip === null ? null : new AddressStore(ip)), [ip]);
  useEffect(() => {
    if (store === null) return;
    const made = new LiveSocket(`/dashboard/live/ips/${pathPart(store.ip)}`, {
      heard: (message) => store.heard(message),
      stood: (state, why) => store.stood(state, why),
      ended,
      whyUnopened: () => refusalOf(`/v1/ips/${pathPart(store.ip)}`),
    });
    return () => made.close();
  }, [store]);
  return store;
}

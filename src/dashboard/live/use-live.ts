/** Stores that live as long as what shows them. */
import { useEffect, useMemo, useRef } from "preact/hooks";
import type { LookRequest } from "../../core/live-view.ts";
import { currentSession } from "../session/session.ts";
import { AddressStore } from "./address-store.ts";
import { pathPart } from "../parts/words.ts";
import { LiveSocket } from "./live-socket.ts";
import { PoolStore } from "./pool-store.ts";

/** An answer of 401 ends the session by itself, whoever has asked. */
function askWhether(): void {
  currentSession().then(
    (session) => session,
    // Nothing answers: the connection is tried again anyway.
    () => null,
  );
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
      unopened: askWhether,
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
      unopened: askWhether,
    });
    return () => made.close();
  }, [store]);
  return store;
}

/** What administrators changed, as events: which entry of an audit is which kind. [EV1] */
import type { AuditEntry } from "./audit.ts";
import { type EventKind, type HistoryEvent, historyEvent } from "./history-event.ts";

/** By the name of the route, or of what the edge does by itself. */
const KINDS: Readonly<Record<string, EventKind>> = {
  putPool: "settings-changed",
  putIp: "address-changed",
  deleteIp: "address-retiring",
  drainIp: "address-draining",
  resumeIp: "address-resumed",
  drainHost: "host-draining",
  resumeHost: "host-resumed",
  deleteHost: "host-removed",
  putPolicy: "policy-changed",
  putTenant: "tenant-changed",
  deleteTenant: "tenant-changed",
  revokeTokens: "tokens-revoked",
  revoke: "tokens-revoked",
};
/** What makes something that was not there before. */
const MADE: Readonly<Record<string, EventKind>> = { putPool: "pool-made", putIp: "address-added" };

/** The event that an entry tells of; null where nothing has happened, or not yet. */
export function changeEvent(entry: AuditEntry, pool: string): HistoryEvent | null {
  const { atMs, sequence, subject, tokenId, route, given, result, before, after } = entry;
  const place = { atMs, source: "change", number: sequence } as const;
  const by = subject === null ? null : { subject, tokenId };
  const [ip, host] = [namedIn(given, "ip"), namedIn(given, "host")];
  const change = { ...place, pool, by, ip, host };
  const known = Object.hasOwn(KINDS, route) ? KINDS[route] : undefined;
  if (result === "begun" || known === undefined) return null;
  if (result !== "done") {
    const asked = JSON.stringify({ route });
    return historyEvent({ ...change, kind: "change-refused", reason: result, after: asked });
  }
  // Who repeats what is so already changes nothing; but a host without a word of it had a slot.
  if (before === "null" && after === "null" && route !== "deleteHost") return null;
  const isNew = before === "null" && Object.hasOwn(MADE, route);
  return historyEvent({ ...change, kind: isNew ? MADE[route]! : known, before, after });
}

/** A name in what a route was given, which may have been cut. */
function namedIn(given: string, name: string): string | null {
  const members = JSON.parse(given) as Readonly<Record<string, unknown>>;
  const value = members[name];
  if (typeof value === "string") return value;
  const { cut } = members;
  if (typeof cut !== "string") return null;
  return new RegExp(`"${name}":"([^"\\\\]*)"`).exec(cut)?.[1] ?? null;
}

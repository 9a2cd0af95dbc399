/** Which pool a request leaves through, by its selection and by what its sender may use. */
import { EVERY_POOL, type Identity, permitsPool, poolsAllowed } from "../../core/identity.ts";
import { ok, type Outcome, refuse } from "../../core/outcome.ts";
import type { Problem } from "../../core/problems.ts";
import type { Selection } from "../../core/selection.ts";
import { parseSelection } from "../../wire/selection-header.ts";

/** Headers whose meaning is remembered; beyond it all are forgotten. */
const REMEMBERED_HEADERS = 1_024;
const remembered = new Map<string, Selection>();

const NOTHING: Outcome<Selection, never> = ok({});

/** Reads the `egress` header of a request. Parsing costs more than the rest of the hot path. */
export function selectionOf(header: string | null): Outcome<Selection, Problem> {
  if (header === null) return NOTHING;
  const known = remembered.get(header);
  if (known !== undefined) return ok(known);
  const parsed = parseSelection(header);
  if (!parsed.ok) {
    const { code, member } = parsed.refusal;
    return refuse(member === "" ? { code } : { code, detail: `Look at the key "${member}".` });
  }
  if (remembered.size >= REMEMBERED_HEADERS) remembered.clear();
  remembered.set(header, parsed.value);
  return parsed;
}

/** The pool that is selected, else the first that the sender may use. [WK7] */
export function poolOf(identity: Identity, selection: Selection): Outcome<string, Problem> {
  const pool = selection.pool ?? identity.pools[0];
  if (pool === undefined) return refuse({ code: "pool-denied", detail: "The token names no pool." });
  if (pool === EVERY_POOL) {
    return refuse({ code: "pool-unknown", detail: "The token is for every pool: select one." });
  }
  return permitsPool(identity, pool)
    ? ok(pool)
    : refuse({ code: "pool-denied", detail: poolsAllowed(identity) });
}

/**
 * Which egress a client wants: one grammar for the `egress` header, the SDK's options and,
 * later, a proxy's user name. The header is an RFC 9651 dictionary, parsed elsewhere; here
 * its members are judged. Unknown keys are refused, never ignored: a client that asks for
 * `contry=de` must not leave from anywhere else. [SE1]
 */
import { ok, type Outcome, refuse } from "./outcome.ts";
import { LONGEST_TTL_S } from "./session-hold.ts";
import { countryOf, isLabel } from "./whereabouts.ts";

/** A client's choice. What is absent is left to the pool. */
export interface Selection {
  readonly pool?: string;
  /** One address, as text in its canonical form. */
  readonly ip?: string;
  /** Of the address: ISO 3166-1 alpha-2, taken in either case. */
  readonly country?: string;
  /** Where the address is announced. */
  readonly site?: string;
  /** Requests of one session keep one address. */
  readonly session?: string;
  /** `strict`: refuse rather than move a session to another address. Default `soft`. */
  readonly sticky?: "soft" | "strict";
  /** For how long a session is to keep its address though addresses are added: seconds. [PL10] */
  readonly ttl?: number;
}

/** Why a selection is refused; `member` names the offending key. */
export interface SelectionRefusal {
  readonly code: "selection-malformed" | "selection-key-unknown" | "selection-value-invalid";
  readonly member: string;
}

/** Longest accepted value, in characters; of the other keys all values are shorter. */
export const MAX_SELECTION_VALUE = 128;

const NAME = /^[a-z0-9][a-z0-9._-]{0,62}$/;
const ADDRESS = /^[0-9a-f.:]{2,45}$/;
const SECONDS = /^[1-9][0-9]{0,4}$/;
const PRINTABLE = /^[\x20-\x7e]+$/;

/** What a value means, in its one form; null for none. */
type Reader = (value: string) => string | number | null;

const READERS: { readonly [Key in keyof Required<Selection>]: Reader } = {
  pool: valid((value) => NAME.test(value)),
  ip: valid((value) => ADDRESS.test(value)),
  country: countryOf,
  site: valid(isLabel),
  session: valid((value) => value.length <= MAX_SELECTION_VALUE && PRINTABLE.test(value)),
  sticky: valid((value) => value === "soft" || value === "strict"),
  ttl: (value) => (SECONDS.test(value) && Number(value) <= LONGEST_TTL_S ? Number(value) : null),
};

function valid(isValid: (value: string) => boolean): Reader {
  return (value) => (isValid(value) ? value : null);
}

/** Whether this can be the name of a pool or a host. */
export function isName(value: string): boolean {
  return NAME.test(value);
}

/** Judges the members of a selection, each key at most once (the parser sees to that). */
export function toSelection(
  members: Iterable<readonly [string, string]>,
): Outcome<Selection, SelectionRefusal> {
  const selection: Record<string, string | number> = {};
  for (const [key, value] of members) {
    if (!Object.hasOwn(READERS, key)) return refuse({ code: "selection-key-unknown", member: key });
    const read = READERS[key as keyof Selection](value);
    if (read === null) return refuse({ code: "selection-value-invalid", member: key });
    selection[key] = read;
  }
  // Without a session there is nothing to keep.
  if (selection["ttl"] !== undefined && selection["session"] === undefined) {
    return refuse({ code: "selection-value-invalid", member: "ttl" });
  }
  return ok(selection as Selection);
}

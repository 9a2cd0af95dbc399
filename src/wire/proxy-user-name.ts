/**
 * A proxy's user name: the selection in the one grammar, written as proxy URLs allow it. [SE4]
 *
 *     http://pool=eu,session=cart-42:TOKEN@host:3128
 *
 * A user name comes through URLs, shells and environment variables, so what is quoted in the header
 * field `egress` may stand bare here, `;` separates as `,` does, and what is still percent-encoded
 * when it arrives (some clients decode it, some do not) is decoded. What it says is then the same
 * dictionary, judged by the same rules.
 */
import { serializeDictionary } from "structured-headers";
import { ok, type Outcome, refuse } from "../core/outcome.ts";
import type { SelectionRefusal } from "../core/selection.ts";

/** What a user name says. */
export interface ProxyUserName {
  /** As in the field `egress`; null for nothing in particular. */
  readonly selection: string | null;
  /**
   * The beginning of the token, of which the password is the rest: RFC 1929 has room for 255 bytes
   * in each, and tokens are longer. Empty for none.
   */
  readonly tokenBeginning: string;
}

/** Longer than any that means something. */
const MAX_LENGTH = 2_048;
const MEMBER = /^([a-z][a-z0-9_-]*)=(?:"((?:[^"\\]|\\["\\])*)"|([^"\s][^"]*))$/;
const ENCODED = /%[\da-f]{2}/i;
const TOKEN = "token";
const SECONDS = /^[1-9]\d{0,9}$/;

/** Reads a user name; an empty one says nothing. */
export function parseProxyUserName(text: string): Outcome<ProxyUserName, SelectionRefusal> {
  const malformed = refuse({ code: "selection-malformed", member: "" } as const);
  const written = decoded(text);
  if (written === null || written.length > MAX_LENGTH) return malformed;
  const members = new Map<string, string | number>();
  let tokenBeginning = "";
  for (const part of splitMembers(written)) {
    const match = MEMBER.exec(part);
    if (match === null) return malformed;
    const key = match[1]!;
    const value = match[2]?.replace(/\\(["\\])/g, "$1") ?? match[3]!;
    if (members.has(key) || (key === TOKEN && tokenBeginning !== "")) return malformed;
    if (key === TOKEN) tokenBeginning = value;
    else members.set(key, key === "ttl" && SECONDS.test(value) ? Number(value) : value);
  }
  try {
    // Values that no field can carry are not serialized.
    return ok({
      selection: members.size === 0 ? null : serializeDictionary(Object.fromEntries(members)),
      tokenBeginning,
    });
  } catch {
    return malformed;
  }
}

/** Null for what no encoding makes sense of. */
function decoded(text: string): string | null {
  if (!ENCODED.test(text)) return text;
  try {
    return decodeURIComponent(text);
  } catch {
    return null;
  }
}

/** The members between the separators, of which those within quotes are none. */
function splitMembers(text: string): string[] {
  const members: string[] = [];
  let member = "";
  let isQuoted = false;
  for (let at = 0; at < text.length; at += 1) {
    const character = text[at]!;
    if (character === "\\" && isQuoted) {
      member += text.slice(at, at + 2);
      at += 1;
      continue;
    }
    if (character === '"') isQuoted = !isQuoted;
    if (!isQuoted && (character === "," || character === ";")) {
      members.push(member.trim());
      member = "";
    } else {
      member += character;
    }
  }
  const last = member.trim();
  if (members.length === 0 && last === "") return [];
  return [...members, last];
}

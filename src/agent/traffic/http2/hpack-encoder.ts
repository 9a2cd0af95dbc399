/**
 * Writes header blocks of HTTP/2 (RFC 7541) in the plainest way: known fields by their index, all
 * others as they are, and nothing into the peer's table. So a block means the same on every
 * connection and at any time, and nothing of one client's request helps to guess another's.
 */
import type { RawHeaders } from "../http/forwarded-headers.ts";
import { STATIC_TABLE } from "./hpack-static-table.ts";

const WHOLE_FIELDS: ReadonlyMap<string, number> = new Map(
  STATIC_TABLE.map(([name, value], at): [string, number] => [`${name}: ${value}`, at + 1]),
);
/** Of equal names the first. */
const NAMES: ReadonlyMap<string, number> = new Map(
  STATIC_TABLE.map(([name], at): [string, number] => [name, at + 1]).toReversed(),
);
const LITERAL = { mark: 0x00, prefixBits: 4 } as const;
/** No proxy behind us may put it into a table either. */
const LITERAL_NEVER_INDEXED = { mark: 0x10, prefixBits: 4 } as const;
const SECRET: ReadonlySet<string> = new Set(["authorization", "cookie"]);
const MAX_INTEGER_BYTES = 6;
/** A table of no bytes (RFC 7541 section 6.3). */
const NO_TABLE = 0x20;

/**
 * The block of some fields, names and values by turns, a character for each byte. A peer whose table
 * is small must be told that none of it is used, else it takes the block for one that uses more.
 */
export function encodeFields(fields: RawHeaders, hasSmallTable = false): Buffer {
  let bound = 1;
  for (const text of fields) bound += text.length + MAX_INTEGER_BYTES;
  const block = Buffer.allocUnsafe(bound);
  let at = 0;
  if (hasSmallTable) block[at++] = NO_TABLE;
  const integer = (value: number, mark: number, prefixBits: number): void => {
    const mask = 2 ** prefixBits - 1;
    if (value < mask) {
      block[at++] = mark | value;
      return;
    }
    block[at++] = mark | mask;
    let left = value - mask;
    for (; left >= 0x80; left = Math.floor(left / 0x80)) block[at++] = (left % 0x80) | 0x80;
    block[at++] = left;
  };
  const string = (text: string): void => {
    integer(text.length, 0, 7);
    at += block.write(text, at, "latin1");
  };
  for (let index = 0; index < fields.length; index += 2) {
    const name = fields[index]!;
    const value = fields[index + 1]!;
    const whole = WHOLE_FIELDS.get(`${name}: ${value}`);
    if (whole !== undefined && value !== "") {
      integer(whole, 0x80, 7);
      continue;
    }
    const { mark, prefixBits } = SECRET.has(name) ? LITERAL_NEVER_INDEXED : LITERAL;
    const known = NAMES.get(name);
    integer(known ?? 0, mark, prefixBits);
    if (known === undefined) string(name);
    string(value);
  }
  return block.subarray(0, at);
}

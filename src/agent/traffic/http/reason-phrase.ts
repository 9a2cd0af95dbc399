/** Reason phrases: of no meaning (RFC 9112 section 4), but written by strangers. */

// oxlint-disable-next-line no-control-regex
const UNWRITABLE = /[^\t\x20-\x7e\x80-\xff]/;

/** A phrase of latin1 characters, if it may be written, else null; so for one that nobody said. */
export function writablePhrase(phrase: string | null | undefined): string | null {
  return phrase == null || UNWRITABLE.test(phrase) ? null : phrase;
}

/** Reason phrases: of no meaning (RFC 9112 section 4), but written by strangers. */

// oxlint-disable-next-line no-control-regex
const UNWRITABLE = /[^\t\x20-\x7e\x80-\xff]/;

/** A phrase of latin1 characters, if it may be written; empty otherwise. */
export function writablePhrase(phrase: string | undefined): string {
  return phrase === undefined || UNWRITABLE.test(phrase) ? "" : phrase;
}

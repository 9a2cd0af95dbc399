/**
 * Where hosts and addresses are, as their operators name it. A site is whatever an operator tells
 * apart: a rack, a data centre, a country. Sites are compared as they are written. [AS11] [ME5]
 */

/** Where an address is, and what else its operator says of it. */
export interface AddressPlace {
  /** ISO 3166-1 alpha-2 in lower case, the one form in which it is kept, told and compared. */
  readonly country: string | null;
  /** Where it is announced; with none, everywhere. */
  readonly sites: readonly string[];
  /** For the operator alone: nothing is chosen by them. */
  readonly tags: readonly string[];
}

/** What is known of an address of which nobody has said anything. */
export const PLACELESS: AddressPlace = { country: null, sites: [], tags: [] };

/** Sites, and tags, that one address may have. */
export const MAX_LABELS = 64;

/** The weight of a host that says none. */
export const DEFAULT_WEIGHT = 1;
/** Bounds, so that sums and quotients of weights stay numbers that can be compared. */
export const LEAST_WEIGHT = 0.001;
export const MOST_WEIGHT = 1_000_000;

/** No blank at an end: nobody sees that two names differ by it. */
const LABEL = /^[\x21-\x7e](?:[\x20-\x7e]{0,61}[\x21-\x7e])?$/;
const COUNTRY = /^[A-Za-z]{2}$/;

/** Whether this can be the name of a site, or a tag: 1 to 63 printable ASCII characters, which a header can carry. */
export function isLabel(text: string): boolean {
  return LABEL.test(text);
}

/**
 * The country that a text names, in its one form; null if it has not the form of a code. Which codes
 * there are is not looked up: they change, and some (XK) are in use without being listed.
 */
export function countryOf(text: string): string | null {
  return COUNTRY.test(text) ? text.toLowerCase() : null;
}

/** Whether a host may have this weight. */
export function isWeight(weight: number): boolean {
  return weight >= LEAST_WEIGHT && weight <= MOST_WEIGHT;
}

/** Whether an address that is announced at these sites can be had at this one. */
export function isAnnouncedAt(sites: readonly string[], site: string): boolean {
  return sites.length === 0 || sites.includes(site);
}

/** What can be a site, a country and a weight. */
import { describe, expect, test } from "vitest";
import { countryOf, isAnnouncedAt, isLabel, isWeight, PLACELESS } from "../../src/core/whereabouts.ts";

describe("a site", () => {
  test.each(["a", "~", "!", "fra1", "Rack 7, Frankfurt", "x".repeat(63), `a${" ".repeat(61)}b`])(
    "[ME5] may be '%s'",
    (text) => expect(isLabel(text)).toBe(true),
  );

  test.each(["", " ", " a", "a ", "a\n", "\ta", "a\u007fb", "köln", "x".repeat(64), `a${" ".repeat(62)}b`])(
    "[ME5] may not be '%s'",
    (text) => expect(isLabel(text)).toBe(false),
  );

  test("[PL9] has the addresses that are announced there, and those that are everywhere", () => {
    expect(isAnnouncedAt([], "fra1")).toBe(true);
    expect(isAnnouncedAt(["ams1", "fra1"], "fra1")).toBe(true);
    expect(isAnnouncedAt(["ams1", "FRA1"], "fra1")).toBe(false);
  });
});

describe("a country", () => {
  test.each([
    ["de", "de"],
    ["DE", "de"],
    ["xK", "xk"],
  ])("[SE3] '%s' is '%s'", (text, country) => expect(countryOf(text)).toBe(country));

  test.each(["", "d", "deu", "d1", " de", "de\n", "ſe", "d\u212A"])("[SE3] is not '%s'", (text) =>
    expect(countryOf(text)).toBeNull(),
  );
});

test("[ME5] a weight is more than nothing and less than what cannot be added up", () => {
  expect([0.001, 1, 1_000_000].map(isWeight)).toEqual([true, true, true]);
  expect([0, -1, 0.0009, 1_000_000.1, NaN, Infinity].map(isWeight)).toEqual(Array(6).fill(false));
});

test("[DO19] an address of which nothing is said is in no country, and everywhere", () => {
  expect(PLACELESS).toEqual({ country: null, sites: [], tags: [] });
  expect(isAnnouncedAt(PLACELESS.sites, "fra1")).toBe(true);
});

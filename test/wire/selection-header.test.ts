/** The `egress` header. */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { isName, MAX_SELECTION_VALUE, type Selection, toSelection } from "../../src/core/selection.ts";
import { formatSelection, parseSelection } from "../../src/wire/selection-header.ts";

function codeOf(header: string | null): string {
  const outcome = parseSelection(header);
  return outcome.ok ? "granted" : `${outcome.refusal.code} ${outcome.refusal.member}`.trim();
}

const selection: fc.Arbitrary<Selection> = fc.record(
  {
    pool: fc.stringMatching(/^[a-z0-9][a-z0-9._-]{0,62}$/),
    ip: fc.oneof(fc.ipV4(), fc.constantFrom("2001:db8::1", "::ffff:192.0.2.1")),
    country: fc.stringMatching(/^[a-z]{2}$/),
    site: fc.stringMatching(/^[!-~]([ -~]{0,61}[!-~])?$/),
    session: fc.stringMatching(/^[\x20-\x7e]{1,128}$/),
    sticky: fc.constantFrom("soft" as const, "strict" as const),
  },
  { requiredKeys: [], noNullPrototype: true },
);

describe("the egress header", () => {
  test("[SE1] strings and tokens name an egress", () => {
    expect(parseSelection('pool=eu, session="cart 42", sticky=strict')).toEqual({
      ok: true,
      value: { pool: "eu", session: "cart 42", sticky: "strict" },
    });
    expect(parseSelection('ip="192.0.2.1"')).toEqual({ ok: true, value: { ip: "192.0.2.1" } });
    expect(parseSelection('country=DE, site="Rack 7, B"')).toEqual({
      ok: true,
      value: { country: "de", site: "Rack 7, B" },
    });
  });

  test("[SE1] absent or empty, it leaves everything to the pool", () => {
    expect(parseSelection(null)).toEqual({ ok: true, value: {} });
    expect(parseSelection("")).toEqual({ ok: true, value: {} });
    expect(parseSelection(" ")).toEqual({ ok: true, value: {} });
  });

  test("[SE1] what is written is what is read", () => {
    fc.assert(
      fc.property(selection, (wanted) => {
        expect(parseSelection(formatSelection(wanted))).toEqual({ ok: true, value: wanted });
      }),
    );
  });

  test("[SE3] a ttl is whole seconds, a day at most, and of a session", () => {
    expect(parseSelection("session=cart, ttl=600")).toEqual({
      ok: true,
      value: { session: "cart", ttl: 600 },
    });
    expect(parseSelection('session=cart, ttl="86400"')).toMatchObject({ value: { ttl: 86_400 } });
    expect(formatSelection({ session: "cart", ttl: 600 })).toBe('session="cart", ttl=600');
    for (const ttl of ["0", "-1", "86401", "100000", "tomorrow", '"060"', '"1.5"']) {
      expect(codeOf(`session=cart, ttl=${ttl}`), ttl).toBe("selection-value-invalid ttl");
    }
    expect(codeOf("session=cart, ttl=1.5")).toBe("selection-malformed");
    expect(codeOf("ttl=600")).toBe("selection-value-invalid ttl");
  });

  test("[SE1] an unknown key is refused by name, never ignored", () => {
    expect(codeOf("contry=de")).toBe("selection-key-unknown contry");
    expect(codeOf("pool=eu, size=60")).toBe("selection-malformed");
    expect(codeOf('pool=eu, tll="60"')).toBe("selection-key-unknown tll");
    expect(codeOf('constructor="x"')).toBe("selection-key-unknown constructor");
    expect(toSelection([["__proto__", "x"]])).toMatchObject({ refusal: { code: "selection-key-unknown" } });
  });

  test("[SE3] a value outside its key's form is refused by that key", () => {
    expect(codeOf("pool=EU")).toBe("selection-value-invalid pool");
    expect(codeOf('pool=""')).toBe("selection-value-invalid pool");
    expect(codeOf('ip="example.com"')).toBe("selection-value-invalid ip");
    expect(codeOf("country=germany")).toBe("selection-value-invalid country");
    expect(codeOf('site=" fra1"')).toBe("selection-value-invalid site");
    expect(codeOf("sticky=always")).toBe("selection-value-invalid sticky");
    expect(codeOf('session=""')).toBe("selection-value-invalid session");
    expect(codeOf(`session="${"x".repeat(MAX_SELECTION_VALUE)}"`)).toBe("granted");
    expect(codeOf(`session="${"x".repeat(MAX_SELECTION_VALUE + 1)}"`)).toBe(
      "selection-value-invalid session",
    );
  });

  test("[SE2] a repeated key is refused, though RFC 9651 would take the last", () => {
    expect(codeOf("pool=eu, pool=us")).toBe("selection-malformed");
    expect(codeOf('session="a,b", pool=eu')).toBe("granted");
    expect(codeOf('session="a,\\"b", pool=eu, pool=eu')).toBe("selection-malformed");
  });

  test("[SE1] other types, parameters and broken text are refused", () => {
    for (const header of [
      "pool",
      "pool=?1",
      "pool=1",
      "pool=1.5",
      "pool=:AAA=:",
      "pool=@1",
      "pool=(a b)",
      "pool=eu;q=1",
      "pool=",
      "pool=eu,",
      ",",
      "=eu",
      'pool="eu',
      "pool=eu us",
      "Pool=eu",
      "ip=192.0.2.1",
      "pool=é",
    ]) {
      expect([header, codeOf(header)]).toEqual([header, "selection-malformed"]);
    }
  });

  test("[SE1] no text breaks the parser", () => {
    const pieces = fc.constantFrom(
      "pool",
      "ip",
      "=",
      ",",
      ";",
      '"',
      "\\",
      "eu",
      " ",
      "(",
      ")",
      ":",
      "?1",
      "é",
      "\0",
    );
    const text = fc.oneof(
      fc.string(),
      fc.array(pieces, { maxLength: 12 }).map((parts) => parts.join("")),
    );
    fc.assert(fc.property(text, (header) => typeof parseSelection(header).ok === "boolean"));
  });

  test("[SE3] names of pools and hosts are short, lower case, and begin with a letter or digit", () => {
    for (const name of ["eu", "eu-1", "a.b_c", "0"]) expect(isName(name)).toBe(true);
    for (const name of ["", "-eu", "EU", "a b", "a/b", "eu\n", "x".repeat(64)])
      expect(isName(name)).toBe(false);
  });
});

test("[SE1] one of more than 2,048 characters is refused unread", () => {
  const longest = `session="x"${" ".repeat(2_037)}`;
  expect(parseSelection(longest)).toMatchObject({ ok: true });
  expect(parseSelection(`${longest} `)).toMatchObject({
    ok: false,
    refusal: { code: "selection-malformed", member: "" },
  });
  expect(parseSelection(`a=(${"x ".repeat(14_000)})`)).toMatchObject({ ok: false });
});

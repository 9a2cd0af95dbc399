/** User names of proxies. */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { parseProxyUserName } from "../../src/wire/proxy-user-name.ts";
import { parseSelection } from "../../src/wire/selection-header.ts";

function read(userName: string): unknown {
  const parsed = parseProxyUserName(userName);
  if (!parsed.ok) return parsed.refusal.code;
  const selection = parseSelection(parsed.value.selection);
  return selection.ok ? selection.value : `${selection.refusal.code} ${selection.refusal.member}`.trim();
}

test.each([
  ["", {}],
  ["  ", {}],
  ["pool=eu", { pool: "eu" }],
  ["pool=eu,session=cart-42", { pool: "eu", session: "cart-42" }],
  ["pool=eu;session=cart-42", { pool: "eu", session: "cart-42" }],
  ["pool=eu; session=a=b", { pool: "eu", session: "a=b" }],
  ["ip=192.0.2.1", { ip: "192.0.2.1" }],
  ["ip=2001:db8::1", { ip: "2001:db8::1" }],
  ["pool%3Deu%2Csession%3Dcart-42", { pool: "eu", session: "cart-42" }],
  ["pool=eu,session=caf%C3%A9", "selection-malformed"],
  ['session="a, b; c",pool=eu', { session: "a, b; c", pool: "eu" }],
  ['session="a \\"b\\"",pool=eu', { session: 'a "b"', pool: "eu" }],
  ["session=42,ttl=60", { session: "42", ttl: 60 }],
  ["country=DE,site=fra 1", { country: "de", site: "fra 1" }],
  ["alice", "selection-malformed"],
  ["contry=de", "selection-key-unknown contry"],
  ["pool=eu,pool=eu", "selection-malformed"],
  ["pool=eu,", "selection-malformed"],
  ["pool=", "selection-malformed"],
  ["=eu", "selection-malformed"],
  ["Pool=eu", "selection-malformed"],
  ["pool=eu%zz", "selection-value-invalid pool"],
  ["pool=%ff", "selection-malformed"],
  ['session="a', "selection-malformed"],
  [`session=${"a".repeat(3000)}`, "selection-malformed"],
])("[SE4] the user name %j selects", (userName, expected) => {
  expect(read(userName)).toEqual(expected);
});

test("[SE4] the key token is the beginning of the token, and no selection", () => {
  const parsed = parseProxyUserName("pool=eu,token=eyJhbGciOi.J");
  expect(parsed).toEqual({ ok: true, value: { selection: 'pool="eu"', tokenBeginning: "eyJhbGciOi.J" } });
  expect(read("token=a,token=b")).toBe("selection-malformed");
});

test("[SE4] whatever is written as a user name is a selection or refused by name", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary", maxLength: 200 }), (userName) => {
      const parsed = parseProxyUserName(userName);
      if (parsed.ok) parseSelection(parsed.value.selection);
      else expect(parsed.refusal.code).toBe("selection-malformed");
    }),
  );
});

test("[SE4] every session of printable characters can be said in quotes", () => {
  fc.assert(
    fc.property(fc.stringMatching(/^[\x20-\x7e]{1,128}$/), (session) => {
      // A percent sign that looks like an escape is one.
      fc.pre(!/%[\da-f]{2}/i.test(session));
      const quoted = session.replace(/["\\]/g, "\\$&");
      expect(read(`session="${quoted}",pool=eu`)).toEqual({ session, pool: "eu" });
    }),
  );
});

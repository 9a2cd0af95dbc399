/** Entries of lists of destinations, and the one spelling that names have. */
import * as fc from "fast-check";
import { expect, it } from "vitest";
import { parseDestinationEntry } from "../../src/policy/destination-entry.ts";
import { canonicalHost, requestedName } from "../../src/policy/destination-name.ts";

const canonical = (text: string): string => {
  const read = parseDestinationEntry(text);
  if (!read.ok) throw new Error(read.refusal);
  return read.value.text;
};

it.each([
  ["example.com", "example.com"],
  ["Example.COM.", "example.com"],
  ["bücher.example", "xn--bcher-kva.example"],
  ["ｅｘａｍｐｌｅ。com", "example.com"],
  ["_dmarc.example.com", "_dmarc.example.com"],
  ["*.Example.com", "*.example.com"],
  ["*.com", "*.com"],
  ["*", "*"],
  ["*:25", "*:25"],
  ["example.com:443", "example.com:443"],
  ["example.com:80-90", "example.com:80-90"],
  ["example.com:80-80", "example.com:80"],
  ["192.0.2.1", "192.0.2.1"],
  ["192.0.2.1/32", "192.0.2.1"],
  ["192.0.2.7/24", "192.0.2.0/24"],
  ["192.0.2.0/24:443", "192.0.2.0/24:443"],
  ["0/0", "0.0.0.0/0"],
  ["１９２.0.2.1", "192.0.2.1"],
  ["2001:DB8::1", "2001:db8::1"],
  ["[2001:db8::1]", "2001:db8::1"],
  ["[2001:db8::1]:443", "[2001:db8::1]:443"],
  ["2001:db8:0:0::/32", "2001:db8::/32"],
  ["[2001:db8::/32]:80-90", "[2001:db8::/32]:80-90"],
  ["::/0", "::/0"],
  ["::ffff:192.0.2.0/120", "192.0.2.0/24"],
])("[DE10] reads %s as %s, and that as itself", (text, expected) => {
  expect(canonical(text)).toBe(expected);
  expect(canonical(expected)).toBe(expected);
});

it.each([
  "",
  " ",
  "exa mple.com",
  "example.com ",
  "https://example.com",
  "example.com/path",
  "user@example.com",
  "exam%70le.com",
  "exam\tple.com",
  "a*.example.com",
  "*.*.example.com",
  "*example.com",
  "*.",
  "*.192.0.2.1",
  "**",
  "example.com:",
  "example.com:0",
  "example.com:65536",
  "example.com:90-80",
  "example.com:80-",
  "example.com:http",
  "192.0.2.0/33",
  "192.0.2.0/-1",
  "192.0.2.0/24/24",
  "2001:db8::/129",
  "fe80::1%eth0",
  "[192.0.2.1]:80",
  "[example.com]:80",
  "[2001:db8::1]443",
  "2001:db8::g",
  "example.com/24",
  `${"a".repeat(64)}.example`,
  `${"a.".repeat(140)}example`,
  "a".repeat(400),
])("[DE10] says why %j is no entry", (text) => {
  const read = parseDestinationEntry(text);
  expect(read.ok).toBe(false);
  if (!read.ok) expect(read.refusal).toMatch(/\.$/);
});

it("[DE10] any text is an entry or is none, and an entry is read as itself", () => {
  const piece = fc.oneof(
    fc.constantFrom("*", ".", ":", "/", "[", "]", "%", "1", "255", "ffff", "::", "a", "xn--", "-", "ß", "｡"),
    fc.string({ maxLength: 3, unit: "binary" }),
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
      const read = parseDestinationEntry(pieces.join(""));
      if (read.ok) expect(canonical(read.value.text)).toBe(read.value.text);
    }),
    { numRuns: 2_000 },
  );
});

it("[DE10] what is plain already is what the URL standard makes of it, wherever it makes anything", () => {
  const label = fc.stringMatching(/^[a-z0-9_-]{1,8}$/);
  fc.assert(
    fc.property(fc.array(label, { minLength: 1, maxLength: 4 }), (labels) => {
      const name = labels.join(".");
      expect(requestedName(name)).toBe(canonicalHost(name) ?? name);
    }),
    { numRuns: 2_000 },
  );
});

it("[DE10] a name that is asked for has the spelling of the lists, whatever it looks like", () => {
  expect(requestedName("API.Example.com.")).toBe("api.example.com");
  expect(requestedName("api.example.com...")).toBe("api.example.com");
  expect(requestedName("Bücher.example")).toBe("xn--bcher-kva.example");
  // No host by the URL standard, and below a name all the same.
  expect(canonicalHost("a%b.Example.com")).toBeNull();
  expect(requestedName("A%b.Example.com.")).toBe("a%b.example.com");
});

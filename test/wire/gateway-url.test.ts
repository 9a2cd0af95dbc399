/** The one form of a gateway's URL. */
import { expect, test } from "vitest";
import { gatewayUrl } from "../../src/wire/gateway-url.ts";

test.each([
  ["http://127.0.0.1:21001", "http://127.0.0.1:21001"],
  ["http://127.0.0.1:21001/", "http://127.0.0.1:21001"],
  ["HTTP://H1.Example:80/", "http://h1.example"],
  ["https://h1.example/base/", "https://h1.example/base"],
  ["https://h1.example/base/of/it//", "https://h1.example/base/of/it"],
  ["https://h1.example/./base/../", "https://h1.example"],
  ["http://[2001:DB8::0:1]:8080/", "http://[2001:db8::1]:8080"],
  ["https://h1.example/?", "https://h1.example"],
  ["https://h1.example/base#", "https://h1.example/base"],
])("[DO14] %s is known as %s", (told, known) => {
  expect(gatewayUrl(told)).toBe(known);
  expect(gatewayUrl(known)).toBe(known);
});

test.each([
  "relative/path",
  "ftp://host/",
  "http://user@host/",
  "http://:secret@host/",
  "http://host/?x",
  "http://host/#x",
  "http://",
])("[DO14] %s is none", (told) => {
  expect(gatewayUrl(told)).toBeNull();
});

test("[GW21] a million slashes in it halt nobody", () => {
  const slashes = "/".repeat(1_000_000);
  expect(gatewayUrl(`http://h1.test${slashes}a${slashes}`)).toBe(`http://h1.test${slashes}a`);
});

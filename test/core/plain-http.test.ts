import { expect, test } from "vitest";
import { isLoopback, isPlainElsewhere } from "../../src/core/plain-http.ts";

test.each([
  "127.0.0.1",
  "127.255.0.9",
  "::1",
  "[::1]",
  "::ffff:127.0.0.1",
  "[::ffff:7f00:1]",
  "localhost",
  "LOCALHOST",
  "localhost.",
  "a.localhost",
])("[TR4] %s is this machine", (host) => {
  expect(isLoopback(host)).toBe(true);
});

test.each([
  "",
  "127.0.0.1.example",
  "127.example",
  "1127.0.0.1",
  "128.0.0.1",
  "10.0.0.1",
  "0.0.0.0",
  "::",
  "::2",
  "fe80::1",
  "::ffff:10.0.0.1",
  "[::ffff:8000:1]",
  "localhost.example",
  "notlocalhost",
])("[TR4] %j is not this machine, as far as anybody knows", (host) => {
  expect(isLoopback(host)).toBe(false);
});

test("[TR4] TLS may lead anywhere, plain text only to this machine", () => {
  const leads = (text: string): boolean => isPlainElsewhere(new URL(text));
  expect(["http://a.example", "ws://10.0.0.1"].map(leads)).toEqual([true, true]);
  expect(["https://a.example", "wss://a", "http://127.1", "ws://[::1]"].map(leads)).not.toContain(true);
});

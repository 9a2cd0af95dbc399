/** The `url` parameter. */
import { expect, it } from "vitest";
import { parseDestination, requestTargetOf } from "../../src/agent/egress/destination-url.ts";

const query = (url: string): string => `url=${encodeURIComponent(url)}`;

it.each([
  ["", "url-missing"],
  ["url=", "url-missing"],
  ["other=http://a.test", "url-missing"],
  ["url=http://a.test/?b=1&c=2", "url-malformed"],
  ["url=http://a.test/&url=http://b.test/", "url-malformed"],
  [query("/relative"), "url-malformed"],
  [query("http://"), "url-malformed"],
  [query("http://[::1/"), "url-malformed"],
  [query("not a url"), "url-malformed"],
  [query("ftp://a.test/"), "url-scheme-unsupported"],
  [query("ws://a.test/"), "url-scheme-unsupported"],
  [query("javascript:alert(1)"), "url-scheme-unsupported"],
  [query("http://user@a.test/"), "url-credentials"],
  [query("https://:secret@a.test/"), "url-credentials"],
  [query("http://a.test:0/"), "url-port-invalid"],
  [query("http://a.test:65536/"), "url-port-invalid"],
  [query("http://[::1]:99999/x"), "url-port-invalid"],
  [query("http://a.test:65536"), "url-port-invalid"],
  [query("HTTPS://a.test:123456?q"), "url-port-invalid"],
  [query("//a.test/?of=http://b.test:65536/"), "url-malformed"],
  [query("http://a.test:65536x/"), "url-malformed"],
])("[GW2] %s is %s", (text, code) => {
  expect(parseDestination(text)).toMatchObject({ ok: false, refusal: { code } });
});

it.each([
  ["http://a.test", "http://a.test/"],
  ["https://a.test:8443/p?q=1&r=2#fragment", "https://a.test:8443/p?q=1&r=2#fragment"],
  ["http://a.test:65535/", "http://a.test:65535/"],
  ["HTTP://A.Test/%2F", "http://a.test/%2F"],
  ["http://[2a00::1]/", "http://[2a00::1]/"],
])("[GW2] %s is a destination", (text, href) => {
  const parsed = parseDestination(query(text));
  expect(parsed.ok && parsed.value.href).toBe(href);
});

it("[GW2] of more than one parameter it is said how an & is written", () => {
  expect(parseDestination("url=http://a.test/?b=1&c=2")).toMatchObject({
    refusal: { detail: expect.stringContaining("%26") as string },
  });
  expect(parseDestination(query("http://a.test/?b=1&c=2"))).toMatchObject({ ok: true });
});

it.each([
  ["http://a.test", "/"],
  ["http://a.test/p?q=1#part", "/p?q=1"],
  ["http://a.test/p#", "/p"],
  ["http://a.test/p?", "/p?"],
  ["http://a.test/p?#", "/p?"],
  ["https://[2a00::1]:8443/%23?a#b#c", "/%23?a"],
])("[GW2] the origin of %s is asked for %s", (text, target) => {
  expect(requestTargetOf(new URL(text))).toBe(target);
});

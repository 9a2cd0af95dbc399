/** What a proxy remembers of logins is what it would read again. */
import { expect, test } from "vitest";
import { credentialsOfHeader } from "../../src/agent/traffic/proxy/proxy-credentials.ts";

function basic(user: string, password: string): string {
  return `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}`;
}

test("[PX2] a login is read alike the first time, again, and after thousands of others", () => {
  const header = basic("pool=eu", "token-of-eu");
  const first = credentialsOfHeader(header);
  expect(first).toEqual({
    token: { ok: true, value: "token-of-eu" },
    selection: { ok: true, value: 'pool="eu"' },
  });
  expect(credentialsOfHeader(header)).toBe(first);
  for (let at = 0; at < 3_000; at += 1) {
    expect(credentialsOfHeader(basic("", `token-${at}`)).token).toEqual({ ok: true, value: `token-${at}` });
  }
  expect(credentialsOfHeader(header)).toEqual(first);
});

test("[PX2] a login that is too long to be remembered is read all the same, and one that is none stays none", () => {
  const long = "t".repeat(8_000);
  for (let time = 0; time < 2; time += 1) {
    expect(credentialsOfHeader(basic("", long)).token).toEqual({ ok: true, value: long });
    expect(credentialsOfHeader("Digest x").token).toEqual({
      ok: false,
      refusal: { code: "token-malformed" },
    });
  }
});

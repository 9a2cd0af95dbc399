/** The rules of redirects by themselves: what is one, what goes along, and what is left behind. */
import { describe, expect, it } from "vitest";
import { EgressFault } from "../../src/agent/egress/faults.ts";
import { type Hop, locationOf, hopAfter, unfollowed } from "../../src/agent/traffic/fetch/redirect.ts";

it("[OR26] credentials stay where they are from, also on the way from https to http and back", () => {
  const headers = ["authorization", "x", "cookie", "y", "accept", "z", "content-md5", "m"];
  const hop = { url: new URL("https://a.test/"), method: "GET", headers, hasBody: false };
  const kept = (from: typeof hop, location: string): readonly string[] => {
    const next = hopAfter(from, 302, location);
    return next.ok ? next.value.headers : [];
  };
  expect(kept(hop, "/b")).toEqual(headers);
  expect(kept(hop, "https://a.test:443/b")).toEqual(headers);
  for (const location of [
    "http://a.test/",
    "http://a.test:443/",
    "https://a.test:444/",
    "https://b.test/",
    "https://sub.a.test/",
    "https://xa.test/",
    "https://a.test.b.test/",
    "https://a.test./",
    "https://a.tes/",
    "https://test/",
    "//b.test/",
    "//a.test:444/",
    "/\\b.test/",
    "\\\\b.test/",
    "https:\\\\b.test\\a.test",
  ]) {
    expect(kept(hop, location), location).toEqual(["accept", "z", "content-md5", "m"]);
  }
  for (const location of ["//a.test/b", "https://A.TEST/b", "https:b", "?c", "#d", ""]) {
    expect(kept(hop, location), location).toEqual(headers);
  }
  const away = hopAfter(hop, 302, "http://a.test/");
  expect(away.ok && kept({ ...away.value, headers: [...away.value.headers] }, "https://a.test/")).toEqual([
    "accept",
    "z",
    "content-md5",
    "m",
  ]);
  for (const location of [
    "http://user:pass@a.test/",
    "javascript:x",
    "http://",
    "http://a.test:0/",
    "http://a b/",
  ]) {
    expect(hopAfter(hop, 302, location)).toMatchObject({
      ok: false,
      refusal: { code: "response-malformed" },
    });
  }
});

describe("methods", () => {
  it.each([
    [301, "POST", "GET"],
    [302, "POST", "GET"],
    [303, "POST", "GET"],
    [303, "PUT", "GET"],
    [303, "HEAD", "HEAD"],
    [301, "DELETE", "DELETE"],
    [302, "HEAD", "HEAD"],
    [307, "POST", "POST"],
    [308, "PATCH", "PATCH"],
  ])("[GW6] %d turns %s into %s", (status, method, becomes) => {
    const hop = { url: new URL("http://a.test/"), method, headers: [], hasBody: false };
    const next = hopAfter(hop, status, "/b");
    expect(next.ok && next.value.method).toBe(becomes);
  });
});

describe("what a hop takes along", () => {
  const OF_A_BODY = [
    "content-encoding",
    "content-language",
    "content-length",
    "content-location",
    "content-type",
  ];
  const headers = [...OF_A_BODY, "accept", "x-kept"].flatMap((name) => [name, "v"]);
  const hop = (method: string, hasBody: boolean): Hop => ({
    url: new URL("http://a.test/"),
    method,
    headers,
    hasBody,
  });
  const taken = (status: number, from: Hop): Hop => {
    const next = hopAfter(from, status, "/b");
    if (!next.ok) throw new Error(next.refusal.code);
    return next.value;
  };

  it("[GW6] with the body goes whatever is said of it, and nothing else", () => {
    const next = taken(302, hop("POST", true));
    expect(next.headers).toEqual(["accept", "v", "x-kept", "v"]);
    expect(next.hasBody).toBe(false);
    // So the next redirect has nothing to send again.
    expect(taken(307, next).method).toBe("GET");
  });

  it.each([
    [303, "GET"],
    [303, "HEAD"],
    [302, "GET"],
    [301, "PUT"],
    [307, "POST"],
  ])("[GW6] after a %d a %s stays what it is, with all of its fields", (status, method) => {
    expect(taken(status, hop(method, false))).toMatchObject({ method, headers, hasBody: false });
  });

  it.each([
    [301, "PUT"],
    [302, "DELETE"],
    [303, "GET"],
    [307, "POST"],
    [308, "POST"],
  ])(
    "[GW6] after a %d the body of a %s would be sent again, so the client is told where to",
    (status, method) => {
      expect(hopAfter(hop(method, true), status, "/b")).toEqual({
        ok: false,
        refusal: { code: "redirect-not-replayable", location: "http://a.test/b" },
      });
    },
  );

  it("[GW6] the refusal of a redirect that leads nowhere says why it does", () => {
    expect(hopAfter(hop("GET", false), 302, "ftp://a.test/")).toEqual({
      ok: false,
      refusal: {
        code: "response-malformed",
        detail: "The redirect is no destination: url-scheme-unsupported",
      },
    });
  });
});

describe("what is a redirect", () => {
  it.each([301, 302, 303, 307, 308])("[GW6] a %d with a location", (status) => {
    expect(locationOf(status, ["Date", "now", "LOCATION", "/b", "x-location", "/c"])).toBe("/b");
  });

  it.each([200, 201, 300, 304, 305, 306, 309])("[GW6] a %d is none, whatever its location", (status) => {
    expect(locationOf(status, ["location", "/b"])).toBeNull();
    // Nor does it matter what that is.
    expect(locationOf(status, ["location", "/b", "location", "/c"])).toBeNull();
  });

  it("[GW6] without a location there is none, and an empty one is one", () => {
    expect(locationOf(302, ["x-location", "/b", "content-location", "/c"])).toBeNull();
    expect(locationOf(302, [])).toBeNull();
    expect(locationOf(302, ["location", ""])).toBe("");
  });

  it("[OR26] the bytes of a location are UTF-8", () => {
    expect(locationOf(302, ["location", Buffer.from("/ü/日").toString("latin1")])).toBe("/ü/日");
  });

  it("[OR26] of two locations none is followed, not even if one is empty", () => {
    expect(() => locationOf(302, ["location", "", "location", "/b"])).toThrow(
      new EgressFault("response-malformed", "There are two locations."),
    );
    expect(locationOf(302, ["location", "/b", "location", "/b"])).toBe("/b");
  });
});

describe("a later hop that another host could make", () => {
  const url = new URL("https://b.test/there");
  const lost = { code: "lease-lost", detail: "192.0.2.1 towards b.test" } as const;

  it.each(["GET", "HEAD", "OPTIONS", "TRACE"])("[OR26] a %s may be asked of it, from the start", (method) => {
    expect(unfollowed(lost, method, url)).toEqual({ ...lost, location: url.href });
  });

  it.each(["POST", "PUT", "PATCH", "DELETE", "CONNECT", "get"])(
    "[OR26] a %s was sent once, so it is not",
    (method) => {
      expect(unfollowed(lost, method, url)).toEqual({
        code: "redirect-unfollowed",
        detail: "lease-lost: 192.0.2.1 towards b.test",
        location: url.href,
      });
      expect(unfollowed({ code: "lease-lost" }, method, url).detail).toBe(
        "lease-lost: the next hop cannot be made from here",
      );
    },
  );

  it("[OR26] what no other host would do better is told as it is", () => {
    const refused = { code: "connection-refused", detail: "ECONNREFUSED" } as const;
    expect(unfollowed(refused, "GET", url)).toBe(refused);
    expect(unfollowed(refused, "POST", url)).toBe(refused);
  });
});

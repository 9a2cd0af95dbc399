/** Problems as HTTP. */
import { parseList, type Token } from "structured-headers";
import { describe, expect, test } from "vitest";
import { PROBLEM_CODES, problemKind } from "../../src/core/problems.ts";
import { problemCodeOf, problemReply } from "../../src/wire/problem-response.ts";

describe("a problem as HTTP", () => {
  test.each(PROBLEM_CODES)("[ER1] [ER2] %s says the same by status, proxy-status and body", (code) => {
    const { status, headers, body } = problemReply({ code, detail: "naïve “detail”" });
    expect(status).toBe(problemKind(code).status);
    expect(headers["content-type"]).toBe("application/problem+json");
    expect(JSON.parse(body)).toMatchObject({ status, code, detail: "naïve “detail”" });

    const proxyStatus = headers["proxy-status"]!;
    const [[name, parameters]] = parseList(proxyStatus) as [[Token, Map<string, unknown>]];
    expect(name.toString()).toBe("ipshard");
    expect(parameters.get("error")?.toString()).toBe(problemKind(code).proxyError ?? undefined);
    expect(problemCodeOf(proxyStatus)).toBe(code);
  });

  test("[ER2] is not cached", () => {
    expect(problemReply({ code: "no-host" }).headers["cache-control"]).toBe("no-store");
  });

  test("[GW6] says where a redirect leads that the client alone can follow", () => {
    const location = "https://a.example/next";
    expect(problemReply({ code: "dns-error", location }).headers["egress-location"]).toBe(location);
    expect(problemReply({ code: "dns-error" }).headers).not.toHaveProperty("egress-location");
  });

  test("[ER2] what somebody else's proxy says is not taken for ours", () => {
    for (const foreign of [
      null,
      "",
      "ipshard",
      'other;error=dns_error;details="lease-lost"',
      'ipshard;error=dns_error;details="lease-lost", other',
      'origin, ipshard;details="lease-lost"',
      "ipshard;details=lease-lost",
    ]) {
      expect(problemCodeOf(foreign)).toBeNull();
    }
  });
});

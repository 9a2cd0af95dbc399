/** What a host knows of its own place: whether an address is on it, and whether routers find it. */
import { expect, test } from "vitest";
import { whyAbsent } from "../../src/agent/leasing/address-presence.ts";
import { reachFindings } from "../../src/agent/leasing/reach-findings.ts";

const IP = "192.0.2.1";

test("[PM2] the kernel is asked whether an address is there", async () => {
  expect(await whyAbsent("127.0.0.10")).toBe(null);
  expect(await whyAbsent("192.0.2.1")).toBe("EADDRNOTAVAIL");
  expect(await whyAbsent("2001:db8::1")).toBe("EADDRNOTAVAIL");
});

test("[PM7] in a pool without routers, or found by them, a host has nothing to say", () => {
  expect(reachFindings(true, [IP], { ipv4: "203.0.113.1", ipv6: null })).toEqual([]);
  expect(reachFindings(true, [IP, "2001:db8::1"], undefined)).toHaveLength(2);
});

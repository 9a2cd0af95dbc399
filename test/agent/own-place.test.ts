/** What a host knows of its own place: whether an address is on it, and whether routers find it. */
import { setImmediate } from "node:timers/promises";
import { expect, test } from "vitest";
import { whyAbsent } from "../../src/agent/leasing/address-presence.ts";
import { nextHopFindings } from "../../src/agent/leasing/next-hop-findings.ts";

const IP = "192.0.2.1";

test("[PM2] the kernel is asked whether an address is there", async () => {
  expect(await whyAbsent("127.0.0.10")).toBe(null);
  expect(await whyAbsent("192.0.2.1")).toBe("EADDRNOTAVAIL");
  expect(await whyAbsent("2001:db8::1")).toBe("EADDRNOTAVAIL");
});

test("[PM2] to ask leaves no socket behind", async () => {
  const socketCount = (): number =>
    process.getActiveResourcesInfo().filter((resource) => resource === "UDPWrap").length;
  const asked = [whyAbsent("127.0.0.10"), whyAbsent(IP)];
  expect(socketCount()).toBeGreaterThan(0);
  await Promise.all(asked);
  // A closed socket is gone some turns later.
  for (let turn = 0; turn < 100 && socketCount() > 0; turn += 1) await setImmediate();
  expect(socketCount()).toBe(0);
});

test("[PM7] in a pool without routers, or found by them, a host has nothing to say", () => {
  expect(nextHopFindings(false, [IP], undefined)).toEqual([]);
  expect(nextHopFindings(true, [IP], { ipv4: "203.0.113.1", ipv6: null })).toEqual([]);
  expect(nextHopFindings(true, ["2001:db8::1"], { ipv4: null, ipv6: "2001:db8::7" })).toEqual([]);
});

test("[PM7] a host that routers do not find says what comes of it and what to give, by family", () => {
  const [ipv4, ipv6, ...others] = nextHopFindings(true, [IP, "2001:db8::1"], undefined);
  expect(ipv4).toMatch(
    /drop the replies.* from the pool's IPv4 addresses.*Give --reach with an IPv4 address/,
  );
  expect(ipv6).toMatch(
    /drop the replies.* from the pool's IPv6 addresses.*Give --reach with an IPv6 address/,
  );
  expect(others).toEqual([]);
});

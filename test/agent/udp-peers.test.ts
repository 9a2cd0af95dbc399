/** Who may write to a client, without sockets and with a time of its own. */
import { expect, test } from "vitest";
import { datagramHeader } from "../../src/agent/traffic/socks/udp-datagram.ts";
import { MAX_PEERS, UdpPeers } from "../../src/agent/traffic/socks/udp-peers.ts";

const ipOf = (at: number): string => `198.51.${at >> 8}.${at & 255}`;

test("[UD5] whoever was written to may answer for the time, and no longer", () => {
  const peers = new UdpPeers(300_000);
  expect(peers.headerFor("192.0.2.1", 53, 0)).toBeNull();
  peers.noteSent("192.0.2.1", 0);
  expect(peers.headerFor("192.0.2.1", 53, 300_000)).toEqual(datagramHeader("192.0.2.1", 53));
  expect(peers.headerFor("192.0.2.1", 54, 300_000)).toEqual(datagramHeader("192.0.2.1", 54));
  expect(peers.headerFor("192.0.2.2", 53, 1)).toBeNull();
  expect(peers.headerFor("192.0.2.1", 53, 310_000)).toBeNull();
});

test("[UD5] an address that kernels write in another way than it was written to may answer", () => {
  const peers = new UdpPeers(300_000);
  peers.noteSent("::808:808", 0);
  const header = peers.headerFor("::8.8.8.8", 53, 1);
  // Its sixteen bytes, and not those of the mapped address.
  expect(header?.toString("hex")).toBe(`00000004${"00".repeat(12)}080808080035`);
  expect(peers.headerFor("::8.8.8.9", 53, 1)).toBeNull();
});

test("[UD5] writing again gives it the time again, however often it was written to", () => {
  const peers = new UdpPeers(300_000);
  for (let nowMs = 0; nowMs <= 1_000_000; nowMs += 1_000) peers.noteSent("192.0.2.1", nowMs);
  expect(peers.headerFor("192.0.2.1", 53, 1_300_000)).not.toBeNull();
  expect(peers.headerFor("192.0.2.1", 53, 1_305_000)).toBeNull();
});

test("[UD5] of too many the one written to longest ago is forgotten", () => {
  const peers = new UdpPeers(300_000);
  for (let at = 0; at < MAX_PEERS; at += 1) peers.noteSent(ipOf(at), at);
  peers.noteSent(ipOf(0), 100_000);
  peers.noteSent(ipOf(MAX_PEERS), 100_001);
  expect(peers.size).toBe(MAX_PEERS);
  const passes = [0, 1, 2, MAX_PEERS].map((at) => peers.headerFor(ipOf(at), 53, 100_002) !== null);
  expect(passes).toEqual([true, false, true, true]);
});

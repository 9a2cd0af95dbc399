/** What a doctor concludes from the answers of an edge that chooses among several hosts. */
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, expect, test } from "vitest";
import { throughEdge } from "../../src/agent/doctor/edge-round-trip.ts";

const IP = "192.0.2.1";
const TO = "http://10.0.0.1/";
const PLACED = ["h1", "h2", "h3", "h4"].map((host) => ({ host, gateway: `http://${host}:7000`, ips: [IP] }));

let edge: Server;
let askedCount: number;

afterEach(() => edge.close());

/** An edge that refuses each request in the name of the next of these hosts, or in nobody's. */
async function refusing(hostAt: (at: number) => string | null): Promise<string> {
  askedCount = 0;
  edge = createServer((_request, response) => {
    const host = hostAt(askedCount);
    askedCount += 1;
    response.writeHead(403, {
      "proxy-status": 'ipshard;error=destination_ip_prohibited;details="destination-prohibited"',
      ...(host === null ? {} : { "egress-host": host }),
    });
    response.end();
  });
  edge.listen(0, "127.0.0.1");
  await once(edge, "listening");
  return `http://127.0.0.1:${(edge.address() as AddressInfo).port}`;
}

const examine = (url: string) => throughEdge({ kind: "edge", url, token: "t" }, IP, TO, "h1", PLACED);

test("[HS5] however many others refuse by their names, the host is asked for until it has", async () => {
  const { sentence } = await examine(await refusing((at) => (at < 20 ? "h2" : "h1")));
  expect(sentence).toContain("The edge does reach this host, which refused by itself");
  expect(askedCount).toBeGreaterThan(20);
});

test("[HS5] refusals that nobody has by their name are enough when there are eight", async () => {
  const { sentence } = await examine(await refusing(() => null));
  expect(sentence).toContain("is that this host, and can the edge reach it?");
  expect(askedCount).toBe(8);
});

test("[HS5] a host that is never chosen is asked for a bounded number of times", async () => {
  const { sentence } = await examine(await refusing(() => "h2"));
  expect(sentence).toContain("None of 48 requests");
});

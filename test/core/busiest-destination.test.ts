/** Where the ports of an address are in use most. */
import { expect, test } from "vitest";
import { busiestOf, type Destination } from "../../src/core/busiest-destination.ts";

const A: Destination = { protocol: "tcp", ip: "198.51.100.1", port: 443 };
const B: Destination = { protocol: "udp", ip: "198.51.100.1", port: 443 };

test("[PM9] the busiest destination of an address takes most ports of all its hosts together", () => {
  const uses = [
    { busiestCount: 300, busiestDestination: A },
    { busiestCount: 200, busiestDestination: B },
    { busiestCount: 150, busiestDestination: B },
    { busiestCount: 9_000 },
  ];
  expect(busiestOf(uses)).toEqual({ ...B, portCount: 350 });
  expect(busiestOf(uses.slice(0, 2))).toEqual({ ...A, portCount: 300 });
});

test("[PM9] where nothing is in use there is none", () => {
  expect(busiestOf([])).toBeNull();
  expect(busiestOf([{ busiestCount: 0, busiestDestination: A }, { busiestCount: 4 }])).toBeNull();
});

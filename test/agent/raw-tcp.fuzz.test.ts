/** Whatever a client and a destination do, in whatever order: every port comes back, and nothing is a fault. */
import type { Socket } from "node:net";
import * as fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { eventually } from "./gateway-rig.ts";
import { type BareCarrier, startTcpRig, type TcpRig } from "./raw-tcp-rig.ts";

let world: TcpRig;
beforeAll(async () => {
  world = await startTcpRig({ holdDownMs: 20 });
});
afterAll(() => world.close());

type Action =
  | { readonly who: "client"; readonly say: string | number }
  | { readonly who: "client"; readonly close: number | null }
  | { readonly who: "destination"; readonly write: number }
  | { readonly who: "destination"; readonly end: "fin" | "reset" | "pause" | "resume" }
  | { readonly who: "nobody"; readonly turns: number };

const texts = fc.oneof(
  { weight: 4, arbitrary: fc.integer({ min: 1, max: 2 ** 20 }).map((n) => `{"type":"credit","bytes":${n}}`) },
  { weight: 3, arbitrary: fc.constant('{"type":"end"}') },
  { weight: 1, arbitrary: fc.constant('{"type":"start-tls","name":null}') },
  { weight: 1, arbitrary: fc.string({ maxLength: 40 }) },
);
const action: fc.Arbitrary<Action> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ who: fc.constant("client" as const), say: fc.integer({ min: 0, max: 70_000 }) }),
  },
  { weight: 4, arbitrary: fc.record({ who: fc.constant("client" as const), say: texts }) },
  {
    weight: 1,
    arbitrary: fc.record({
      who: fc.constant("client" as const),
      close: fc.constantFrom(1000, 4500, 4400, 3000, null),
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      who: fc.constant("destination" as const),
      write: fc.integer({ min: 1, max: 500_000 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      who: fc.constant("destination" as const),
      end: fc.constantFrom("fin" as const, "reset" as const, "pause" as const, "resume" as const),
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({ who: fc.constant("nobody" as const), turns: fc.integer({ min: 1, max: 5 }) }),
  },
);

function act(carrier: BareCarrier, destination: Socket, done: Action): void {
  const { webSocket } = carrier;
  if (done.who === "client" && "say" in done) {
    if (webSocket.readyState !== webSocket.OPEN) return;
    webSocket.send(typeof done.say === "string" ? done.say : Buffer.alloc(done.say));
  } else if (done.who === "client") {
    if (done.close === null) webSocket.terminate();
    else webSocket.close(done.close);
  } else if (done.who === "destination" && "write" in done) {
    if (destination.writable) destination.write(Buffer.alloc(done.write));
  } else if (done.who === "destination") {
    if (done.end === "fin") destination.end();
    else if (done.end === "reset") destination.resetAndDestroy();
    else destination[done.end]();
  }
}

test("[RC4] [RC5] nothing that either side does leaves anything behind, or is a fault of ours", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(action, { minLength: 1, maxLength: 25 }), async (actions) => {
      const carrier = await world.carry();
      const destination = await world.accepted();
      destination.resume();
      for (const done of actions) {
        act(carrier, destination, done);
        for (let turn = 0; done.who === "nobody" && turn < done.turns; turn += 1) {
          await new Promise((resolve) => {
            setImmediate(resolve);
          });
        }
      }
      const { ports, gateway } = world.rig;
      // If neither has ended it, it is there.
      carrier.webSocket.terminate();
      await eventually(() => ports.heldCounts().inUse === 0, "the port is back");
      await eventually(() => gateway.runningCount === 0, "the client is gone");
      destination.destroy();
      expect(world.rig.faults).toEqual([]);
    }),
    { numRuns: 300 },
  );
});

/** Whatever happens to dials, and in whatever order: no port stays held and no socket open. */
import { once } from "node:events";
import { type AddressInfo, createServer, type Server } from "node:net";
import * as fc from "fast-check";
import { afterAll, beforeAll, expect, it } from "vitest";
import { termFrom } from "../../src/core/lease-term.ts";
import { UNMETERED } from "../../src/agent/egress/flow-use.ts";
import { AddressPorts } from "../../src/agent/egress/address-ports.ts";
import { readClock } from "../../src/process/clock.ts";
import { AddressRules } from "../../src/policy/address-rules.ts";
import { DestinationPolicy } from "../../src/policy/destination-policy.ts";
import { type Dialled, Dialler } from "../../src/agent/egress/dial.ts";
import { Resolver } from "../../src/agent/egress/resolver.ts";
import { startNameServer } from "../e2e/name-server.ts";
import { startDeafServer } from "./deaf-server.ts";
import { eventually } from "./gateway-rig.ts";

const DEAF = ["127.0.1.1", "127.0.1.2", "127.0.1.3", "127.0.1.4", "127.0.1.5"];
const ABSENT = ["127.0.2.1", "127.0.2.2", "127.0.2.3"];
const NAMES: Record<string, readonly string[]> = {
  "good.test": ["127.0.0.1", "127.0.0.2"],
  "deaf.test": DEAF,
  "absent.test": ABSENT,
  "mixed.test": [...DEAF, ...ABSENT, "127.0.0.1"],
  "one-good.test": [DEAF[0]!, "127.0.0.2"],
  "prohibited.test": ["127.0.0.1", "10.0.0.1"],
  "six.test": ["2a00::1"],
};
const HOSTS = [
  ...Object.keys(NAMES),
  "nowhere.test",
  "silent.test",
  "127.0.0.1",
  DEAF[0]!,
  ABSENT[0]!,
  "::1",
];

let port: number;
let connectionCount = 0;
let dialler: Dialler;
const closing: (() => unknown)[] = [];

beforeAll(async () => {
  const servers: Server[] = ["127.0.0.1", "127.0.0.2"].map(() =>
    createServer((socket) => {
      connectionCount += 1;
      socket.on("error", () => {});
      socket.once("close", () => (connectionCount -= 1));
      socket.resume();
    }),
  );
  servers[0]!.listen(0, "127.0.0.1");
  await once(servers[0]!, "listening");
  ({ port } = servers[0]!.address() as AddressInfo);
  servers[1]!.listen(port, "127.0.0.2");
  await once(servers[1]!, "listening");
  const deaf = await startDeafServer(DEAF, port);
  const nameServer = await startNameServer(NAMES);
  const resolver = new Resolver({ servers: [nameServer.address], timeoutMs: 50 });
  dialler = new Dialler(resolver, {
    connectTimeoutMs: 400,
    portWaitMs: 100,
  });
  closing.push(
    deaf.close,
    () => resolver.close(),
    () => nameServer.close(),
    ...servers.map((server) => () => server.close()),
  );
});
afterAll(async () => {
  for (const close of closing) await close();
});

type Step =
  | { readonly type: "dial"; readonly host: string; readonly abortsAfterMs: number | null }
  | { readonly type: "drain" | "remove" | "add" | "end-term" | "term" | "close-one" | "grow" }
  | { readonly type: "pass"; readonly ms: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      type: fc.constant("dial" as const),
      host: fc.constantFrom(...HOSTS),
      abortsAfterMs: fc.option(fc.integer({ min: 0, max: 300 })),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      type: fc.constantFrom(
        "drain" as const,
        "remove" as const,
        "add" as const,
        "end-term" as const,
        "term" as const,
        "close-one" as const,
        "grow" as const,
      ),
    }),
  },
  { weight: 2, arbitrary: fc.record({ type: fc.constant("pass" as const), ms: fc.nat(60) }) },
);

const policy = new DestinationPolicy({
  addresses: new AddressRules({ allowed: ["127.0.0.0/8", "::1/128"] }),
});

async function run(steps: readonly Step[]): Promise<void> {
  const ports = new AddressPorts("127.0.0.19", { holdDownMs: 20 });
  const open: Dialled[] = [];
  const dials: Promise<unknown>[] = [];
  let epoch = 1;
  const add = (): void => ports.addBlock({ base: 20_480 + 64 * (epoch % 8), order: 6, epoch: (epoch += 1) });
  const term = (): void => ports.setTerm(termFrom(readClock(), 60_000));
  add();
  term();
  for (const one of steps) {
    if (one.type === "dial") {
      const leaving = one.abortsAfterMs === null ? null : AbortSignal.timeout(one.abortsAfterMs);
      dials.push(
        dialler
          .dial(
            { pool: "main", tenant: "test", address: ports, policy, meter: UNMETERED },
            one.host,
            port,
            leaving ?? undefined,
          )
          .then(
            (dialled) => open.push(dialled),
            () => null,
          ),
      );
    } else if (one.type === "pass") {
      await new Promise((resolve) => {
        setTimeout(resolve, one.ms);
      });
    } else if (one.type === "add") add();
    else if (one.type === "drain") ports.drainBlock(epoch);
    else if (one.type === "remove") ports.removeBlock(epoch);
    else if (one.type === "end-term") ports.setTerm(null);
    else if (one.type === "term") term();
    else if (one.type === "grow") ports.growthOutstanding = !ports.growthOutstanding;
    else open.pop()?.socket.destroy();
  }
  await Promise.all(dials);
  // What was not closed by now is a connection that somebody has.
  await eventually(
    () => ports.heldCounts().inUse === open.filter(({ socket }) => !socket.destroyed).length,
    "only what is open has a port",
  );
  for (const { socket } of open) socket.destroy();
  await eventually(() => ports.heldCounts().inUse === 0, "no port is in use");
  await eventually(() => ports.heldCounts().heldDown === 0, "no port is held down");
  await eventually(() => connectionCount === 0, "no connection is left at the origins");
  expect(ports.busiestDestination()).toBeNull();
  ports.close();
}

it(
  "[BI8] [BI11] whatever happens to dials, in the end no port is held and no connection open",
  { timeout: 120_000 },
  async () => {
    await fc.assert(fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 40 }), run), {
      numRuns: 25,
      endOnFailure: true,
    });
  },
);

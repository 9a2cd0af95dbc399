/** What readers do not take: who has to end when all together keep too much. */
import { connect as connectTls } from "node:tls";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import type { Identity } from "../../src/core/identity.ts";
import { type FlowKind, TrackedFlow } from "../../src/agent/tenants/running-flows.ts";
import { flowsToEnd } from "../../src/agent/tenants/untaken-bytes.ts";
import { eventually, type Origin, startByteOrigin } from "./gateway-rig.ts";
import { basic, type ByteClient, openTunnel, type ProxyRig, startProxyRig } from "./proxy-rig.ts";
import { CERTIFICATE, KEY } from "./tls-origin.ts";

const KIB = 1_024;
/** Beside what waits to be written. */
const BESIDE = 64 * KIB;
const NOW_MS = 100_000;
const SOMEBODY: Identity = { role: "client", subject: "a", pools: ["main"], expiresAtMs: Infinity };

/** A flow that keeps so much, and has moved nothing for so long. */
function keeping(bytes: number, restedMs: number, kind: FlowKind = "tunnel"): TrackedFlow {
  const until = { destroyed: false, writableLength: bytes, on: () => {} };
  const flow = { fail: () => {} };
  return new TrackedFlow(SOMEBODY, { kind, until, flow }, { lookedAtMs: NOW_MS - restedMs });
}

function tenant(...flows: TrackedFlow[]): { running: ReadonlySet<TrackedFlow> } {
  return { running: new Set(flows) };
}

describe("who has to end", () => {
  test("[LI15] nobody while all together keep no more than they may, however long they rest", () => {
    const flows = [keeping(64 * KIB, 90_000), keeping(0, 90_000), keeping(64 * KIB, 3_000)];
    expect(flowsToEnd([tenant(...flows)], NOW_MS, 2 * (64 * KIB + BESIDE))).toEqual([]);
  });

  test("[LI15] those that have moved nothing for longest, and no more of them than needed", () => {
    const [old, young, oldest, moving] = [9_000, 3_000, 50_000, 1_000].map((ms) => keeping(64 * KIB, ms));
    const all = [tenant(old!, young!, oldest!, moving!)];
    expect(flowsToEnd(all, NOW_MS, 3 * 128 * KIB)).toEqual([oldest]);
    expect(flowsToEnd(all, NOW_MS, 3 * 128 * KIB - 1)).toEqual([oldest, old]);
  });

  test("[LI15] never one that moves, or keeps nothing", () => {
    const all = [tenant(keeping(64 * KIB, 1_999), keeping(0, 90_000))];
    expect(flowsToEnd(all, NOW_MS, 1)).toEqual([]);
    const resting = keeping(64 * KIB, 2_000);
    expect(flowsToEnd([tenant(resting)], NOW_MS, 1)).toEqual([resting]);
  });

  test("[LI15] those of the tenant that keeps most, and none of one that keeps no more than an equal part", () => {
    const few = tenant(keeping(64 * KIB, 90_000), keeping(64 * KIB, 80_000));
    const many = tenant(...[1, 2, 3, 4, 5, 6].map((at) => keeping(64 * KIB, 10_000 * at)));
    const ended = flowsToEnd([few, many], NOW_MS, 4 * 128 * KIB);
    expect(ended).toEqual([...many.running].toReversed().slice(0, 4));
    expect(flowsToEnd([few, tenant(keeping(64 * KIB * 50, 100))], NOW_MS, 4 * 128 * KIB)).toEqual([]);
  });

  test("[LI15] what the destination does not take counts as what the client does not", () => {
    const flow = keeping(0, 5_000);
    flow.writesTo({ writableLength: 256 * KIB });
    expect(flow.untakenBytes).toBe(256 * KIB);
    expect(flowsToEnd([tenant(flow)], NOW_MS, 256 * KIB)).toEqual([flow]);
    flow.writesTo({ writableLength: 0 });
    expect(flowsToEnd([tenant(flow)], NOW_MS, 0)).toEqual([]);
  });
});

describe("by a proxy", () => {
  const FLOOD = Buffer.alloc(64 * KIB, "untaken ");
  let rig: ProxyRig;
  let origin: Origin;

  beforeAll(async () => {
    rig = await startProxyRig({
      mostUntakenBytes: 6 * 128 * KIB,
      certificate: () => ({ cert: Buffer.from(CERTIFICATE), key: Buffer.from(KEY) }),
    });
    origin = await startByteOrigin((socket) => {
      const say = (): void => {
        while (!socket.destroyed && socket.write(FLOOD));
      };
      socket.on("drain", say);
      say();
    });
  });
  afterAll(async () => {
    origin.close();
    await rig.close();
  });
  afterEach(async () => {
    await eventually(() => rig.ports.heldCounts().inUse === 0, "every port given back");
    expect(rig.faults).toEqual([]);
    rig.counts.clear();
  });

  const untaken = (name: string): number => {
    const found = rig.tenants.meters.describe().find(({ tenant: of }) => of === name);
    return (found?.["used"] as Record<string, number> | undefined)?.["untakenBytes"] ?? 0;
  };

  /** A tunnel whose client reads nothing. */
  async function stuck(name: string): Promise<ByteClient> {
    const token = await rig.tokenSaying({ role: "client", tenant: name });
    const client = await openTunnel(rig, `127.0.0.1:${origin.port}`, basic("", token));
    client.socket.pause();
    return client;
  }

  test("[LI15] of stuck tunnels those of who has many end by resets, and that of the other tenant stays", async () => {
    const few = await stuck("few");
    await eventually(() => untaken("few") > BESIDE, "it is stuck");
    const many = await Promise.all(Array.from({ length: 12 }, () => stuck("many")));
    await eventually(() => untaken("many") > 6 * BESIDE, "so are these");
    await eventually(() => rig.counts.get("untaken-exhausted") !== undefined, "some are ended", 10_000);
    await eventually(() => untaken("few") + untaken("many") <= 6 * 128 * KIB, "no more is kept", 10_000);
    expect(untaken("few")).toBeGreaterThan(BESIDE);
    const ended = rig.counts.get("untaken-exhausted")!;
    for (const { socket } of many) socket.resume();
    await eventually(() => many.filter(({ wasReset }) => wasReset).length === ended, "they are told");
    for (const { socket } of [few, ...many]) socket.destroy();
  });

  test("[LI15] within TLS they end, too", async () => {
    const token = await rig.tokenSaying({ role: "client", tenant: "secret" });
    const clients = Array.from({ length: 12 }, () => {
      const socket = connectTls({ port: rig.proxyPort, host: "127.0.0.1", rejectUnauthorized: false });
      socket.on("error", () => {});
      const place = `127.0.0.1:${origin.port}`;
      socket.write(`CONNECT ${place} HTTP/1.1\r\nhost: ${place}\r\n${basic("", token)}\r\n\r\n`);
      return socket.pause();
    });
    await eventually(() => rig.counts.get("untaken-exhausted") !== undefined, "some are ended", 10_000);
    await eventually(() => untaken("secret") <= 6 * 128 * KIB, "no more is kept", 10_000);
    expect(rig.counts.get("untaken-exhausted")).toBeLessThan(clients.length);
    for (const socket of clients) socket.destroy();
  });
});

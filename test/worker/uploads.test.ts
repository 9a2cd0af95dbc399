/** Uploads that are longer than what the Worker holds of them. */
import { describe, expect, it } from "vitest";
import { ok } from "../../src/core/outcome.ts";
import { HELD_BYTES } from "../../src/worker/egress/request-body.ts";
import {
  askedHosts,
  codeOf,
  gatewayRefusal,
  gateways,
  newEgress,
  placementOf,
  uploadStatus,
  uploadStatuses,
  uploadQuestions,
  type Gateway,
} from "./edge.ts";

const UPLOAD = new Uint8Array(1_000_000).map((_, at) => (at * 7) % 251);

/** The bytes in pieces that do not come at once. */
function streamOf(bytes: Uint8Array, pieceBytes = 30_000): ReadableStream<Uint8Array> {
  let at = 0;
  return new ReadableStream({
    pull(controller) {
      if (at < bytes.length) controller.enqueue(bytes.slice(at, at + pieceBytes));
      at += pieceBytes;
      if (at >= bytes.length) controller.close();
    },
  });
}

const FRAMINGS: [string, () => RequestInit][] = [
  ["of a known length", () => ({ body: UPLOAD, headers: { "content-length": String(UPLOAD.length) } })],
  ["in chunks", () => ({ body: streamOf(UPLOAD) })],
];

function readerOf({ body }: Request): ReadableStreamDefaultReader<Uint8Array> {
  return (body as ReadableStream<Uint8Array>).getReader();
}

/** Takes more than what is held of a body; what came of it. */
async function takeHeld(request: Request): Promise<number> {
  const reader = readerOf(request);
  let taken = 0;
  while (taken <= HELD_BYTES) taken += (await reader.read()).value!.length;
  reader.releaseLock();
  return taken;
}

async function isWhole(response: Response): Promise<boolean> {
  const bytes = new Uint8Array(await response.arrayBuffer());
  return bytes.length === UPLOAD.length && bytes.every((byte, at) => byte === UPLOAD[at]);
}

/** Gives back what it got when all of it has come. */
const echo: Gateway = async (request) => new Response(await request.arrayBuffer());
const never: Gateway = () => new Promise(() => {});

/** Hosts of which the first that is asked does as told, and whoever is asked next takes what comes. */
async function firstOf(hostCount: number, first: Gateway, says: Gateway) {
  const egress = await newEgress(hostCount);
  let name: string | null = null;
  for (const host of egress.hosts) {
    gateways.set(host, (request) => {
      if (name !== null) return echo(request);
      name = request.headers.get("egress-upload");
      return first(request);
    });
    uploadStatuses.set(host, (request) =>
      name === null || request.url.endsWith(name) ? says(request) : uploadStatus("ready")(request),
    );
  }
  return egress;
}

describe.each(FRAMINGS)("an upload %s", (_framing, init) => {
  const post = (): RequestInit => ({ method: "POST", ...init() });

  it.each(["port-block-exhausted", "lease-lost", "draining", "address-family-mismatch"] as const)(
    "[WK43] that a host refuses with %s, however late, is taken whole by another",
    async (code) => {
      const { send, pool, pools, h1, h2 } = await firstOf(
        2,
        async (request) => {
          await takeHeld(request);
          return gatewayRefusal(code);
        },
        never,
      );
      const ips = ["192.0.2.1", "2001:db8::1"].flatMap((ip) => placementOf(pool, [h1, h2], ip).ips);
      // Of the wrong family an address is, whichever host has it.
      if (code === "address-family-mismatch") pools.placement = async () => ok({ pool, ips, resting: [] });
      const response = await send(post());
      expect(response.status).toBe(200);
      expect(await isWhole(response)).toBe(true);
    },
  );

  it("[WK43] is given out no further than held before the gateway says that it is ready", async () => {
    let taken = 0;
    let takenBefore: number | null = null;
    const { send } = await firstOf(
      1,
      async (request) => {
        const reader = readerOf(request);
        for (let next = await reader.read(); !next.done; next = await reader.read()) {
          taken += next.value.length;
        }
        return Response.json({ taken });
      },
      async (request) => {
        // Long enough for all of it, if it were not held back.
        await scheduler.wait(100);
        takenBefore = taken;
        return uploadStatus("ready")(request);
      },
    );
    const response = await send(post());
    expect(await response.json()).toEqual({ taken: UPLOAD.length });
    expect(takenBefore).toBeGreaterThan(HELD_BYTES);
    expect(takenBefore).toBeLessThan(2 * HELD_BYTES);
  });

  it("[WK43] goes to a third host when two refuse it, under another name each time", async () => {
    const { send, hosts } = await newEgress(3);
    const names: string[] = [];
    for (const host of hosts) {
      uploadStatuses.set(host, (request) => {
        const isThird = names.length >= 2 && !names.slice(0, 2).some((name) => request.url.endsWith(name));
        return (isThird ? uploadStatus("ready") : never)(request);
      });
      gateways.set(host, async (request) => {
        names.push(request.headers.get("egress-upload")!);
        if (names.length === 3) return echo(request);
        await takeHeld(request);
        return gatewayRefusal("port-block-exhausted");
      });
    }
    expect(await isWhole(await send(post()))).toBe(true);
    expect(new Set(names).size).toBe(3);
    expect(uploadQuestions.map(({ name }) => name)).toEqual(names);
  });

  it("[WK43] that every host refuses is refused by name, when each has been asked once", async () => {
    const { send, hosts } = await newEgress(3);
    for (const host of hosts) {
      uploadStatuses.set(host, uploadStatus("ended"));
      gateways.set(host, async (request) => {
        await takeHeld(request);
        return gatewayRefusal("port-block-exhausted");
      });
    }
    expect(await codeOf(await send(post()))).toEqual({ status: 503, code: "port-block-exhausted" });
    expect(askedHosts.toSorted()).toEqual(hosts.toSorted());
  });

  it.each<[string, Gateway]>([
    ["knows no such path", () => gatewayRefusal("route-unknown")],
    ["has never heard of it", uploadStatus("unknown")],
    [
      "is not there, but a tunnel that fails",
      () => new Response("<html>tunnel error</html>", { status: 530 }),
    ],
    ["answers at length", () => new Response("ended ".repeat(100_000))],
    ["answers neither question", () => Promise.reject(new Error("Network connection lost."))],
  ])("[WK43] goes on to a gateway that %s", async (_what, says) => {
    const { send } = await firstOf(1, echo, says);
    expect(await isWhole(await send(post()))).toBe(true);
  });

  it("[WK43] is asked for once more when the first question is lost", async () => {
    let count = 0;
    const { send } = await firstOf(
      2,
      async (request) => {
        await takeHeld(request);
        return gatewayRefusal("draining");
      },
      (request) => {
        count += 1;
        if (count === 1) throw new Error("Network connection lost.");
        return never(request);
      },
    );
    expect(await isWhole(await send(post()))).toBe(true);
    expect(count).toBe(2);
  });

  it("[WK43] is asked for at its own gateway, with its own token and name", async () => {
    let sent: Headers | null = null;
    const { send, h1 } = await firstOf(
      1,
      (request) => {
        sent = request.headers;
        return echo(request);
      },
      uploadStatus("ready"),
    );
    expect(await isWhole(await send(post()))).toBe(true);
    const headers = sent as Headers | null;
    expect(uploadQuestions).toEqual([
      { host: h1, name: headers?.get("egress-upload"), token: headers?.get("egress-authorization") },
    ]);
    expect(uploadQuestions[0]!.name).toMatch(/^[\da-f-]{36}$/);
  });

  it("[WK25] [WK43] has its answer although nobody says that it is ready", async () => {
    const { send } = await firstOf(
      1,
      async (request) => {
        await takeHeld(request);
        return new Response("too much", { status: 413, headers: { "egress-host": "h1" } });
      },
      never,
    );
    const response = await send(post());
    expect(response.status).toBe(413);
    expect(await response.text()).toBe("too much");
  });

  it("[WK12] [WK43] whose host is lost while it waits may have happened: host-lost", async () => {
    const { send } = await firstOf(
      2,
      async (request) => {
        await takeHeld(request);
        throw new Error("Network connection lost.");
      },
      never,
    );
    expect(await codeOf(await send(post()))).toEqual({ status: 502, code: "host-lost" });
    expect(askedHosts).toHaveLength(1);
  });

  it("[WK12] [WK43] by PUT goes to another host when the first is lost while it waits", async () => {
    const { send } = await firstOf(
      2,
      async (request) => {
        await takeHeld(request);
        throw new Error("Network connection lost.");
      },
      never,
    );
    expect(await isWhole(await send({ ...post(), method: "PUT" }))).toBe(true);
  });
});

describe("no gateway is asked", () => {
  it.each<[string, RequestInit, boolean]>([
    ["for a GET", {}, false],
    ["for a DELETE without a body", { method: "DELETE" }, false],
    ["for a short body", { method: "POST", body: "short", headers: { "content-length": "5" } }, false],
    ["for all that may be held", { method: "POST", body: streamOf(UPLOAD.slice(0, HELD_BYTES)) }, true],
  ])("[WK43] %s", async (_what, init, isNamed) => {
    const { send, h1 } = await newEgress();
    let isNameSent: boolean | null = null;
    gateways.set(h1, async (request) => {
      await request.arrayBuffer();
      isNameSent = request.headers.has("egress-upload");
      return new Response("ok");
    });
    expect((await send(init)).status).toBe(200);
    expect(uploadQuestions).toEqual([]);
    // Of a body of no known length nobody can tell before how long it will be.
    expect(isNameSent).toBe(isNamed);
  });

  it.each<[string, RequestInit]>([
    ["a GET", {}],
    ["an upload", { method: "POST", body: streamOf(UPLOAD) }],
  ])("[WK43] by a name of the client's: %s", async (_what, init) => {
    const { send, h1 } = await newEgress();
    const forged = "0".repeat(36);
    let name: string | null = null;
    gateways.set(h1, async (request) => {
      await request.arrayBuffer();
      name = request.headers.get("egress-upload");
      return new Response("ok");
    });
    await send({ ...init, headers: { "egress-upload": forged } });
    expect(name).not.toBe(forged);
    expect(uploadQuestions.map(({ name: asked }) => asked)).not.toContain(forged);
  });
});

import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { json } from "node:stream/consumers";
import { pino } from "pino";
import { expect, onTestFinished, test, vi } from "vitest";
import { SpanExporter } from "../../src/metrics/node/span-exporter.ts";
import type { FinishedSpan } from "../../src/metrics/otlp.ts";
import { sendSpan } from "../../src/worker/egress/edge-trace.ts";
import type { Environment } from "../../src/worker/runtime/environment.ts";

const log = pino({ level: "silent" });

function span(number: number): FinishedSpan {
  return {
    traceId: "4bf92f3577b34da6a3ce929d0e0e4736",
    spanId: String(number).padStart(16, "0"),
    parentSpanId: "00f067aa0ba902b7",
    name: "egress GET",
    beganAtMs: 1_795_981_628_123.25,
    endedAtMs: 1_795_981_628_124,
    facts: { "http.request.method": "GET", "http.response.status_code": 502, "ipshard.port": null },
    code: "dns-error",
  };
}

async function collector(status: () => number) {
  const bodies: any[] = [];
  const take = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    expect([request.method, request.url, request.headers["content-type"]]).toEqual([
      "POST",
      "/v1/traces",
      "application/json",
    ]);
    bodies.push(await json(request));
    response.writeHead(status()).end("{}");
  };
  const server = createServer((request, response) => void take(request, response)).listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  return { bodies, exporter: new SpanExporter({ collector: url, service: { "service.name": "x" }, log }) };
}

test("[MT13] a span is told as OTLP has it, its times to the nanosecond", async () => {
  const { bodies, exporter } = await collector(() => 200);
  exporter.add(span(7));
  await exporter.flush();
  expect(bodies).toEqual([
    {
      resourceSpans: [
        {
          resource: { attributes: [{ key: "service.name", value: { stringValue: "x" } }] },
          scopeSpans: [
            {
              scope: { name: "ipshard" },
              spans: [
                {
                  traceId: "4bf92f3577b34da6a3ce929d0e0e4736",
                  spanId: "0000000000000007",
                  parentSpanId: "00f067aa0ba902b7",
                  name: "egress GET",
                  kind: 2,
                  startTimeUnixNano: "1795981628123250000",
                  endTimeUnixNano: "1795981628124000000",
                  attributes: [
                    { key: "http.request.method", value: { stringValue: "GET" } },
                    { key: "http.response.status_code", value: { intValue: "502" } },
                    { key: "error.type", value: { stringValue: "dns-error" } },
                  ],
                  status: { code: 2, message: "dns-error" },
                },
              ],
            },
          ],
        },
      ],
    },
  ]);
  expect(exporter.lostCount).toBe(0);
});

test("[MT13] what a collector refuses, and what is too much, is lost and counted", async () => {
  let status = 503;
  const { bodies, exporter } = await collector(() => status);
  for (let number = 0; number < 3_000; number += 1) exporter.add(span(number));
  expect(exporter.lostCount).toBe(3_000 - 2_048);
  await exporter.flush();
  expect(bodies).toHaveLength(8);
  expect(exporter.lostCount).toBe(3_000);
  status = 200;
  exporter.add(span(1));
  await exporter.flush();
  expect(exporter.lostCount).toBe(3_000);
});

test("[MT13] at the edge a collector that never answers holds so many spans and no more, and not for ever", async () => {
  const patience = new AbortController();
  vi.spyOn(AbortSignal, "timeout").mockReturnValue(patience.signal);
  const warned = vi.spyOn(console, "warn").mockReturnValue();
  const asked = vi.fn<(url: string, init: RequestInit) => Promise<Response>>(
    (_url, { signal }) =>
      new Promise<Response>((_, reject) => {
        signal!.addEventListener("abort", () => reject(new Error("it took too long")));
      }),
  );
  vi.stubGlobal("fetch", asked);
  onTestFinished(() => {
    vi.restoreAllMocks();
    vi.unstubAllGlobals();
  });
  const place = { traceId: "4bf92f3577b34da6a3ce929d0e0e4736", spanId: "00f067aa0ba902b7" };
  const send = (): Promise<void> =>
    sendSpan(
      { own: place, parent: place, traceParent: "" },
      { answer: new Response(), code: null, method: "GET", requestId: "r", beganAtMs: Date.now() },
      { OTLP_URL: "http://collector.test" } as Environment,
    );
  const sent = Array.from({ length: 1_000 }, send);
  await Promise.all(sent.slice(64));
  expect(asked).toHaveBeenCalledTimes(64);
  patience.abort();
  await Promise.all(sent);
  expect(warned).toHaveBeenCalledTimes(1);
  asked.mockImplementation(async () => new Response());
  await send();
  expect(asked).toHaveBeenCalledTimes(65);
});

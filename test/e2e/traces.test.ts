/** A recorded trace from client to destination: a span of the edge, one of the host, and each is the next one's parent. */
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { json } from "node:stream/consumers";
import { afterAll, beforeAll, expect, test } from "vitest";
import { WebSocket } from "ws";
import { Cluster, freePort, until } from "./cluster.ts";

interface Span {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string;
  readonly name: string;
  readonly attributes: readonly { key: string; value: Record<string, string> }[];
  readonly status: { readonly code?: number };
}

const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN = "00f067aa0ba902b7";
const RECORDED = `00-${TRACE}-${SPAN}-01`;
const STATE = "vendor=opaque";

interface Sent {
  readonly resourceSpans: readonly {
    readonly resource: { readonly attributes: Span["attributes"] };
    readonly scopeSpans: readonly { readonly spans: readonly Span[] }[];
  }[];
}

let cluster: Cluster;
let server: Server;
const spans = new Map<string, Span[]>();

/** Notes what a collector was sent. */
function take({ resourceSpans }: Sent): void {
  for (const { resource, scopeSpans } of resourceSpans) {
    const service = resource.attributes.find(({ key }) => key === "service.name")!.value["stringValue"]!;
    spans.set(service, [...(spans.get(service) ?? []), ...scopeSpans.flatMap((scope) => scope.spans)]);
  }
}

async function collect(request: IncomingMessage, response: ServerResponse): Promise<void> {
  take((await json(request)) as Sent);
  response.end("{}");
}

beforeAll(async () => {
  const port = await freePort();
  server = createServer((request, response) => void collect(request, response)).listen(port, "127.0.0.1");
  await once(server, "listening");
  const otlp = `--otlp=http://127.0.0.1:${port}`;
  cluster = await Cluster.start({ hosts: ["h1"], edgeArgs: [otlp], agentArgs: [otlp, "--processes=2"] });
}, 60_000);
afterAll(async () => {
  await cluster?.stop();
  server.closeAllConnections();
  server.close();
});

/** What the destination got, and the spans that were sent meanwhile. */
async function trace(traceparent: string, destination = cluster.originUrl("/seen")) {
  const headers = { ...(await cluster.clientHeaders()), traceparent, tracestate: STATE };
  const answer = await fetch(cluster.through(destination), { headers });
  const { headers: got = {} } = (await answer.json()) as { headers?: Record<string, string[]> };
  return { answer, got, name: answer.headers.get("egress-request-id")! };
}

function spansOf(service: string, name: string): Span[] {
  return (spans.get(service) ?? []).filter((span) => fact(span, "ipshard.request_id") === name);
}

/** The only span of a request. */
async function one(service: string, name: string): Promise<Span> {
  await until(`a span of ${service}`, async () => spansOf(service, name).length === 1);
  return spansOf(service, name)[0]!;
}

function fact({ attributes }: Span, key: string): string | undefined {
  return Object.values(attributes.find((attribute) => attribute.key === key)?.value ?? {})[0];
}

test("[MT13] each hop is a span, and the parent of what comes next", async () => {
  const { answer, got, name } = await trace(RECORDED);
  const [edge, host] = [await one("ipshard-edge", name), await one("ipshard-agent", name)];
  expect([edge.traceId, host.traceId]).toEqual([TRACE, TRACE]);
  expect([edge.parentSpanId, host.parentSpanId]).toEqual([SPAN, edge.spanId]);
  expect(got).toMatchObject({ traceparent: [`00-${TRACE}-${host.spanId}-01`], tracestate: [STATE] });
  for (const span of [edge, host]) {
    expect(fact(span, "http.response.status_code")).toBe("200");
    expect(span.status).toEqual({});
    expect(JSON.stringify(span)).not.toContain(cluster.origin.addresses[0]);
  }
  expect(fact(host, "ipshard.port")).toBe(answer.headers.get("egress-port"));
  expect(fact(edge, "ipshard.host")).toBe("h1");
});

test("[MT14] a WebSocket through the edge has the edge's span, and the host's below it", async () => {
  const headers = { ...(await cluster.clientHeaders()), traceparent: RECORDED };
  const url = cluster.through(cluster.originUrl("/ws"), cluster.edgeUrl.replace("http", "ws"));
  const socket = new WebSocket(url, { headers, perMessageDeflate: false });
  const upgraded = once(socket, "upgrade");
  await once(socket, "open");
  socket.close();
  const [answer] = (await upgraded) as [IncomingMessage];
  const name = String(answer.headers["egress-request-id"]);
  const [edge, host] = [await one("ipshard-edge", name), await one("ipshard-agent", name)];
  expect([edge.parentSpanId, host.parentSpanId, host.name]).toEqual([SPAN, edge.spanId, "egress websocket"]);
  expect(fact(host, "ipshard.port")).toBe(answer.headers["egress-port"]);
  expect(Number(fact(host, "ipshard.received_bytes"))).toBeGreaterThan(0);
  expect(host.status).toEqual({});
});

test("[MT13] the span of a request that was refused says so", async () => {
  // Nobody listens there.
  const closed = cluster.originUrl("/").replace(/:\d+\//, ":1/");
  const { answer, name } = await trace(RECORDED, closed);
  expect(answer.status).toBe(502);
  for (const service of ["ipshard-edge", "ipshard-agent"]) {
    const span = await one(service, name);
    expect(fact(span, "error.type")).toBe("connection-refused");
    expect(span.status.code).toBe(2);
  }
});

test("[MT13] what is not recorded passes as it is, and nobody sends a span of it", async () => {
  const unrecorded = `00-${TRACE}-${SPAN}-00`;
  const { got, name } = await trace(unrecorded);
  expect(got).toMatchObject({ traceparent: [unrecorded], tracestate: [STATE] });
  const { name: next } = await trace(RECORDED);
  // A span of the one before would have come with it, or earlier.
  await one("ipshard-edge", next);
  await one("ipshard-agent", next);
  expect([spansOf("ipshard-edge", name), spansOf("ipshard-agent", name)]).toEqual([[], []]);
});

test("[MT13] a collector that is gone costs no request anything", async () => {
  server.closeAllConnections();
  server.close();
  await once(server, "close");
  for (let count = 0; count < 5; count += 1) expect((await trace(RECORDED)).answer.status).toBe(200);
});

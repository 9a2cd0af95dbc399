/**
 * A client of the egress API inside the laboratory, driven line by line: each line of its input
 * is an order in JSON, each answer a line `#ID JSON`. Single requests, and load: lanes that
 * each send one request after the other, with a short pause, until they are told to stop.
 */
import { randomUUID } from "node:crypto";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";

/** One request. `url` is the egress API's; a `nonce` is added to the destination in its query. */
export interface WebRequest {
  readonly url: string;
  readonly method?: string;
  readonly headers: Readonly<Record<string, string>>;
  /** The body; `byteCount` instead stands for so many zeros. */
  readonly body?: string;
  readonly byteCount?: number;
  /** Under load, a request that failed is sent once more after this long. */
  readonly retryAfterMs?: number;
}

/** One answer as it came. */
export interface WebAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** One request under load. */
export interface Sample {
  readonly startedAtMs: number;
  readonly endedAtMs: number;
  /** 0 if there was no whole answer. */
  readonly status: number;
  /** Code of the problem or of the fault; null if all went well. */
  readonly code: string | null;
  readonly host: string | null;
  readonly ip: string | null;
  readonly port: number | null;
  /** Whether it is the whole answer to this very request, from where its headers say. */
  readonly isRight: boolean;
  /** The longest that nothing came, in milliseconds. */
  readonly longestGapMs: number;
  /** Why the first try failed, if there was a second; all else is of the second. */
  readonly retriedFor?: string;
}

/** What it can be told. */
export type Order =
  | { readonly verb: "request"; readonly request: WebRequest }
  /** Lane n takes the request n modulo their number. */
  | { readonly verb: "load"; readonly lanes: number; readonly requests: readonly WebRequest[] }
  /** How many samples there are. */
  | { readonly verb: "progress" }
  /** Lanes finish the request they are at; answers all samples. */
  | { readonly verb: "stop" };

interface Received extends WebAnswer {
  readonly longestGapMs: number;
}

/** Between two requests of a lane: load is many at once, and as fast as it goes it would only heat the machine. */
const PAUSE_MS = 25;
const PAUSE_AFTER_FAILURE_MS = 50;

let samples: Sample[] = [];
let ending = new AbortController();
let lanes: Promise<void>[] = [];

async function receive({ url, method = "GET", headers, ...rest }: WebRequest): Promise<Received> {
  const body = rest.byteCount === undefined ? rest.body : Buffer.alloc(rest.byteCount);
  let lastMs = Date.now();
  const response = await fetch(url, { method, headers, redirect: "manual", body: body ?? null });
  let longestGapMs = Date.now() - lastMs;
  let text = "";
  for await (const chunk of response.body ?? []) {
    longestGapMs = Math.max(longestGapMs, Date.now() - lastMs);
    lastMs = Date.now();
    text += Buffer.from(chunk as Uint8Array).toString();
  }
  return {
    status: response.status,
    headers: Object.fromEntries(response.headers),
    body: text,
    longestGapMs,
  };
}

async function sample(request: WebRequest): Promise<Sample> {
  const startedAtMs = Date.now();
  const nonce = randomUUID();
  // Inside the destination's query, which is itself a part of the API's.
  const url = `${request.url}${encodeURIComponent(`${request.url.includes("%3F") ? "&" : "?"}nonce=${nonce}`)}`;
  const nobody = { host: null, ip: null, port: null, isRight: false, startedAtMs };
  try {
    const { status, headers, body, longestGapMs } = await receive({ ...request, url });
    const endedAtMs = Date.now();
    if (status !== 200) return { ...nobody, endedAtMs, status, code: codeOf(body), longestGapMs };
    const from = { ip: headers["egress-ip"] ?? null, port: Number(headers["egress-port"]) };
    const lines = body.split("\n");
    const seen = JSON.parse(lines[0]!) as { address: string; port: number; nonce: string };
    const isWhole = lines.length === 2 || lines.at(-2) === "end";
    const isFromThere = seen.address === from.ip && seen.port === from.port;
    const isRight = isWhole && isFromThere && seen.nonce === nonce;
    const host = headers["egress-host"] ?? null;
    return { ...from, host, startedAtMs, endedAtMs, status, code: null, isRight, longestGapMs };
  } catch (fault) {
    const endedAtMs = Date.now();
    return { ...nobody, endedAtMs, status: 0, code: nameOf(fault), longestGapMs: endedAtMs - startedAtMs };
  }
}

function codeOf(body: string): string {
  try {
    return (JSON.parse(body) as { code?: string }).code ?? body;
  } catch {
    return body;
  }
}

function nameOf(fault: unknown): string {
  const { cause, message } = fault as Error & { cause?: NodeJS.ErrnoException };
  return cause?.code ?? message;
}

/** A sample, once more if the first was not right and the request says so. */
async function persistentSample(request: WebRequest): Promise<Sample> {
  const first = await sample(request);
  if (first.isRight || request.retryAfterMs === undefined) return first;
  await delay(request.retryAfterMs);
  const { startedAtMs } = first;
  return { ...(await sample(request)), startedAtMs, retriedFor: first.code ?? `${first.status}` };
}

async function lane(request: WebRequest): Promise<void> {
  while (!ending.signal.aborted) {
    const taken = await persistentSample(request);
    samples.push(taken);
    // A refusal comes at once, and so would the next.
    await delay(taken.isRight ? PAUSE_MS : PAUSE_AFTER_FAILURE_MS);
  }
}

async function obey(order: Order): Promise<unknown> {
  switch (order.verb) {
    case "request":
      return receive(order.request);
    case "load":
      ending = new AbortController();
      for (let at = 0; at < order.lanes; at += 1) {
        lanes.push(lane(order.requests[at % order.requests.length]!));
      }
      return null;
    case "progress":
      return samples.length;
    case "stop": {
      ending.abort();
      await Promise.all(lanes);
      lanes = [];
      const taken = samples;
      samples = [];
      return taken;
    }
  }
}

console.log("ready");
for await (const line of createInterface({ input: process.stdin })) {
  const { id, order } = JSON.parse(line) as { id: number; order: Order };
  obey(order).then(
    (answer) => console.log(`#${id} ${JSON.stringify({ answer })}`),
    (fault) => console.log(`#${id} ${JSON.stringify({ fault: nameOf(fault) })}`),
  );
}

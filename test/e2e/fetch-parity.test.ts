/**
 * The SDK against `fetch` itself, in one Node, towards one origin: what the origin sees and what
 * the caller gets is alike, or stands here with its reason.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import { createEgress } from "../../src/sdk/egress.ts";
import { Cluster, POOL } from "./cluster.ts";
import { type Fetch, nameOf, PARITY_CASES } from "./parity-cases.ts";
import { type ParityOrigin, startParityOrigin } from "./parity-origin.ts";

const EMPTY_BODY =
  "the edge's platform writes `content-length: 0` where `fetch` says nothing, which means the same";
const GATHERED =
  "what is all there goes with its length, and so can be sent again; a stream of unknown end does not";
const UNKNOWN_METHOD =
  "the edge's platform answers methods that it does not know by itself: `answer-foreign`";
const ONE_CONNECTION = "the field is about one connection, and there are two (ER3)";
const OF_A_PROXY = "a destination learns nothing of who stands before it (GW3)";
const MODE = "a call to the edge is always of the mode `cors`";
const NO_STATUS = "no status of HTTP: refused as `response-malformed`";
const TYPE = "`type` says how the edge's answer was had, not the destination's";
const NEW_BOUNDARY =
  "Node draws a new boundary for the second body and sends the old one's name; the SDK does not";

/** The cases that differ, and why they must. */
const DIFFERENCES: Readonly<Record<string, string>> = {
  "DELETE with an empty string": EMPTY_BODY,
  "DELETE with an empty blob": EMPTY_BODY,
  "DELETE with null": EMPTY_BODY,
  "DELETE with undefined": EMPTY_BODY,
  'the method "options"': EMPTY_BODY,
  'the method "OPTIONS"': EMPTY_BODY,
  'the method "REPORT"': EMPTY_BODY,
  'the method "SEARCH"': EMPTY_BODY,
  'the method "MKCOL"': EMPTY_BODY,
  'the method "PURGE"': EMPTY_BODY,
  "a Request with a stream": GATHERED,
  "a Request with a generator": GATHERED,
  "a 307 after a Request with a stream": GATHERED,
  "a 307 after a Request with a generator": GATHERED,
  "a 307 after a form": NEW_BOUNDARY,
  "a 307 after a Request with a form": NEW_BOUNDARY,
  'the method "FOO"': UNKNOWN_METHOD,
  'the method "M-SEARCH"': UNKNOWN_METHOD,
  'the method "patch"': "the edge's platform knows PATCH in any case; Node's own server does not",
  'the field origin: "http://page.example"': "whoever names a page's origin is answered as a page (WK14)",
  'the field connection: "close"': ONE_CONNECTION,
  'the field te: "trailers"': ONE_CONNECTION,
  'the field trailer: "x"': ONE_CONNECTION,
  "the answer /trailers": ONE_CONNECTION,
  'the field proxy-authorization: "Basic x"': ONE_CONNECTION,
  'the field http2-settings: "x"': ONE_CONNECTION,
  'the field x-forwarded-for: "192.0.2.7"': OF_A_PROXY,
  'the field cf-connecting-ip: "192.0.2.7"': OF_A_PROXY,
  'the field egress-own: "1"': "fields of that name are ours (ER3)",
  'the input "data:,x"': "what needs no address to leave from is none of the egress's business",
  'mode: "no-cors"': MODE,
  'mode: "same-origin"': MODE,
  "a 302 to another origin with credentials": TYPE,
  "a 307 to another origin with credentials": TYPE,
  "the status 600": NO_STATUS,
  "the status 999": NO_STATUS,
};

let cluster: Cluster;
let origin: ParityOrigin;
let other: ParityOrigin;
let viaEgress: Fetch;

beforeAll(async () => {
  origin = await startParityOrigin("127.0.0.20");
  other = await startParityOrigin("127.0.0.21");
  cluster = await Cluster.start({ hosts: ["h1"] });
  const token = await cluster.token("client", "tester");
  viaEgress = createEgress({ endpoint: cluster.edgeUrl, token, pool: POOL }).fetch;
});
afterAll(async () => {
  origin?.close();
  other?.close();
  await cluster?.stop();
});

async function outcome(run: (typeof PARITY_CASES)[number]["run"], fetch: Fetch): Promise<unknown> {
  try {
    return await run(fetch, origin.url, other.url);
  } catch (fault) {
    return { rejected: nameOf(fault) };
  }
}

test("there are enough cases, and each has a name of its own", () => {
  expect(PARITY_CASES.length).toBeGreaterThan(235);
  expect(new Set(PARITY_CASES.map(({ name }) => name)).size).toBe(PARITY_CASES.length);
  const names = new Set(PARITY_CASES.map(({ name }) => name));
  expect(Object.keys(DIFFERENCES).filter((name) => !names.has(name))).toEqual([]);
});

test.each(PARITY_CASES.map((each) => [each.name, each.run] as const))("%s", async (name, run) => {
  const plain = await outcome(run, globalThis.fetch as Fetch);
  const egress = await outcome(run, viaEgress);
  if (DIFFERENCES[name] === undefined) expect(egress).toEqual(plain);
  else expect(egress).not.toEqual(plain);
});

/** Texts that strangers send: tokens, selections, logins, targets, and JSON of every kind. */
import * as fc from "fast-check";
import type { z } from "zod";
import { ROUTES } from "../../../src/api/routes.ts";
import { ipSchema, nameSchema } from "../../../src/api/schemas.ts";
import type { Outcome } from "../../../src/core/outcome.ts";
import { PROBLEM_CODES, type ProblemCode } from "../../../src/core/problems.ts";
import { checkDestination, parseDestination } from "../../../src/agent/egress/destination-url.ts";
import { parsePlace } from "../../../src/agent/egress/destination-place.ts";
import { readAbsoluteTarget } from "../../../src/agent/traffic/proxy/absolute-target.ts";
import { credentialsOfHeader } from "../../../src/agent/traffic/proxy/proxy-credentials.ts";
import { parseTcpDestination } from "../../../src/agent/traffic/raw-tcp/connect-request.ts";
import { gatewayUrl } from "../../../src/wire/gateway-url.ts";
import { generateKey, publicPart } from "../../../src/wire/keys.ts";
import {
  parseLeaseReply,
  parseLeaseRequest,
  parsePoolReply,
  parsePoolRequest,
  parseRouterReply,
  parseRouterRequest,
} from "../../../src/wire/message-parsers.ts";
import { parseProxyUserName } from "../../../src/wire/proxy-user-name.ts";
import { formatSelection, parseSelection } from "../../../src/wire/selection-header.ts";
import { parseCloseReason, parseControl } from "../../../src/wire/tcp-carrier.ts";
import { bearerOf, signToken, TokenVerifier } from "../../../src/wire/tokens.ts";
import {
  leaseReplies,
  leaseRequests,
  poolReplies,
  poolRequests,
  routerReplies,
  routerRequests,
} from "../../wire/valid-messages.ts";
import { mustHold, type ParserUnderFire, seed } from "./parser.ts";

const CODES: ReadonlySet<string> = new Set(PROBLEM_CODES);
const JSON_WORDS = [
  "null",
  "true",
  "{}",
  "[]",
  '""',
  "-1",
  "1e999",
  "9007199254740993",
  '"__proto__":',
  "\\ud800",
  ",",
];
const HOST_WORDS = [
  "127.0.0.1",
  "0x7f.1",
  "[::1]",
  "%25",
  "@",
  ":0",
  ":65536",
  "..",
  "\\",
  "http://",
  "https:",
  "//",
  "?",
  "#",
];

/** Seeds of a kind of message, always the same ones. */
function messages(kind: fc.Arbitrary<unknown>): Buffer[] {
  return fc.sample(kind, { seed: 13, numRuns: 60 }).map((message) => Buffer.from(JSON.stringify(message)));
}

/** An outcome in a word; a refusal must be of the table. */
function told(outcome: Outcome<unknown, { readonly code: ProblemCode }>): string {
  if (outcome.ok) return "ok";
  mustHold(CODES.has(outcome.refusal.code), "a refusal is of the table");
  return outcome.refusal.code;
}

function messageParser(
  name: string,
  parse: (text: string) => Outcome<unknown, string>,
  valid: fc.Arbitrary<unknown>,
): ParserUnderFire {
  return {
    name,
    seeds: messages(valid),
    words: [...JSON_WORDS, '"type":', '"requestId":', '"epoch":'],
    weight: 3,
    read: (input) => {
      const outcome = parse(input.toString("utf8"));
      if (!outcome.ok) return outcome.refusal;
      const again = JSON.stringify(outcome.value);
      mustHold(
        JSON.stringify((parse(again) as { value?: unknown }).value) === again,
        "what was read reads alike",
      );
      return `ok ${(outcome.value as { type: string }).type}`;
    },
  };
}

const URLS = [
  "http://example.com/",
  "https://user:pass@example.com:8443/a/../b?c=d#e",
  "http://[2001:db8::1]:80/",
  "http://0x7f000001/",
  "ws://example.com/chat",
];

/** All of them. */
export async function textParsers(): Promise<ParserUnderFire[]> {
  return [
    {
      name: "selection",
      seeds: [
        'pool=eu, ip="192.0.2.1"',
        'session="cart 42", sticky=strict, ttl=60',
        "country=de, site=fra1",
      ].map(seed),
      words: ["pool=", "ip=", ";", ",", "=?1", "=(a b)", ":AA==:", "=@1"],
      weight: 8,
      read: (input) => {
        const outcome = parseSelection(input.toString("latin1"));
        if (!outcome.ok) return told(outcome);
        const again = parseSelection(formatSelection(outcome.value));
        mustHold(
          JSON.stringify(again) === JSON.stringify(outcome),
          "a selection reads alike when written again",
        );
        return `ok ${Object.keys(outcome.value).join(" ")}`;
      },
    },
    {
      name: "proxy-user-name",
      seeds: ["pool=eu,session=cart-42", "pool%3Deu%2Cip%3D192.0.2.1", 'session="a b";token=ey'].map(seed),
      words: ["%2C", "%3D", "%", "token=", "pool=", ";", ",", '"', "\\"],
      weight: 8,
      read: (input) => {
        const outcome = parseProxyUserName(input.toString("latin1"));
        return outcome.ok ? `ok ${outcome.value.selection === null}` : told(outcome);
      },
    },
    {
      name: "proxy-authorization",
      seeds: [`Basic ${Buffer.from("pool=eu:token").toString("base64")}`, "Bearer abc.def.ghi"].map(seed),
      words: ["Basic ", "bearer ", "Og==", "=", "%3A"],
      weight: 8,
      read: (input) => {
        const { token, selection } = credentialsOfHeader(input.toString("latin1"));
        return `${token === null ? "none" : told(token)} ${told(selection)}`;
      },
    },
    {
      name: "connect-target",
      seeds: ["example.com:443", "[2001:db8::1]:8443", "192.0.2.1:80", "xn--bcher-kva.example:1"].map(seed),
      words: HOST_WORDS,
      weight: 8,
      read: (input) => told(parsePlace(input.toString("latin1"))),
    },
    {
      name: "absolute-target",
      seeds: URLS.map(seed),
      words: HOST_WORDS,
      weight: 8,
      read: (input) => told(readAbsoluteTarget(input.toString("latin1"), "GET")),
    },
    {
      name: "fetch-query",
      seeds: URLS.map((url) => seed(`url=${encodeURIComponent(url)}`)),
      words: [...HOST_WORDS, "&url=", "%00", "%2F", "url="],
      weight: 6,
      read: (input) => told(parseDestination(input.toString("latin1"))),
    },
    {
      name: "redirect",
      seeds: ["/next", "//example.com/", "http://127.0.0.1/", "?a", ""].map(seed),
      words: HOST_WORDS,
      weight: 6,
      read: (input) => told(checkDestination(input.toString("latin1"), new URL("https://example.com/a"))),
    },
    {
      name: "connect-query",
      seeds: ["to=db.example.com%3A5432", "to=192.0.2.1:5432&tls=on&tls-name=db.example.com"].map(seed),
      words: [...HOST_WORDS, "&tls=on", "&tls-name=", "to="],
      weight: 6,
      read: (input) => told(parseTcpDestination(input.toString("latin1"))),
    },
    {
      name: "gateway-url",
      seeds: ["http://10.0.0.1:8081", "https://h1.example.com/gw/"].map(seed),
      words: HOST_WORDS,
      weight: 4,
      read: (input) => {
        const url = gatewayUrl(input.toString("latin1"));
        if (url !== null) mustHold(gatewayUrl(url) === url, "a gateway's URL reads alike");
        return url === null ? "none" : "ok";
      },
    },
    {
      name: "carrier-control",
      seeds: [
        '{"type":"credit","bytes":65536}',
        '{"type":"start-tls","name":"db.example.com"}',
        '{"type":"end"}',
      ].map(seed),
      words: [...JSON_WORDS, '"type":', '"ping"'],
      weight: 6,
      read: (input) => {
        const outcome = parseControl(input.toString("utf8"));
        return outcome.ok ? `ok ${outcome.value.type}` : outcome.refusal;
      },
    },
    {
      name: "carrier-close",
      seeds: ["port-block-exhausted: 192.0.2.1 towards 192.0.2.9 port 80", "draining"].map(seed),
      words: [": ", "-"],
      weight: 2,
      read: (input) => (parseCloseReason(input.toString("utf8")) === null ? "none" : "ok"),
    },
    messageParser("host-to-address", parseLeaseRequest, leaseRequests),
    messageParser("address-to-host", parseLeaseReply, leaseReplies),
    messageParser("host-to-pool", parsePoolRequest, poolRequests),
    messageParser("pool-to-host", parsePoolReply, poolReplies),
    messageParser("router-to-pool", parseRouterRequest, routerRequests),
    messageParser("pool-to-router", parseRouterReply, routerReplies),
    apiBodies(),
    apiPaths(),
    await tokens(),
  ];
}

/** What administrators send is judged by the schema of its route. */
function apiBodies(): ParserUnderFire {
  const schemas = Object.values(ROUTES).flatMap((route) => {
    const { body } =
      (route as { request?: { body?: { content: { "application/json": { schema: z.ZodType } } } } })
        .request ?? {};
    return body === undefined ? [] : [body.content["application/json"].schema];
  });
  return {
    name: "api-body",
    seeds: [
      '{"settings":{"leaseDurationMs":600000,"firstBlockOrder":8,"staticPortsPerHost":null}}',
      '{"advertised":"203.0.113.7","country":"DE","sites":["fra1"],"tags":["a"]}',
    ].map(seed),
    words: JSON_WORDS,
    weight: 4,
    read: (input) => {
      let value: unknown;
      try {
        value = JSON.parse(input.toString("utf8"));
      } catch {
        return "no JSON";
      }
      return schemas.map((schema) => (schema.safeParse(value).success ? "y" : "n")).join("");
    },
  };
}

function apiPaths(): ParserUnderFire {
  return {
    name: "api-path",
    seeds: ["192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1", "eu-1.main"].map(seed),
    words: ["::", "0", "%", ".", "/", "ffff"],
    weight: 4,
    read: (input) => {
      const text = input.toString("utf8");
      return `${ipSchema.safeParse(text).success} ${nameSchema.safeParse(text).success}`;
    },
  };
}

/** Each that has a signature costs one to check. */
async function tokens(): Promise<ParserUnderFire> {
  const issuer = await generateKey("issuer");
  const edge = await generateKey("edge");
  const verifier = new TokenVerifier({ keys: [publicPart(issuer), publicPart(edge)] });
  const ofRole = (role: "client" | "admin" | "host"): Promise<string> =>
    signToken({ role, subject: "a", pools: ["eu"], expiresAtMs: Date.now() + 86_400_000 }, issuer);
  const signed = await Promise.all([ofRole("client"), ofRole("admin"), ofRole("host")]);
  const none = Buffer.from(JSON.stringify({ alg: "none", kid: issuer.kid })).toString("base64url");
  const believed = new Set(signed);
  return {
    name: "token",
    seeds: [...signed, `${none}.${signed[0].split(".")[1]}.`, `Bearer ${signed[1]}`].map(seed),
    words: [".", "eyJ", "..", "=", "Bearer ", none],
    weight: 1,
    laneCount: 16,
    read: async (input) => {
      const text = input.toString("latin1");
      const token = bearerOf(text) ?? text;
      const outcome = await verifier.verify(token, Date.now());
      if (outcome.ok) mustHold(sameToken(token, believed), "only what was signed is believed");
      return outcome.ok ? "ok" : outcome.refusal;
    },
  };
}

/** The last character of a signature in base64 has bits that mean nothing. */
function sameToken(token: string, believed: ReadonlySet<string>): boolean {
  const decoded = (text: string): string =>
    text
      .split(".")
      .map((part) => Buffer.from(part, "base64url").toString("hex"))
      .join(".");
  const what = decoded(token);
  return [...believed].some((each) => decoded(each) === what);
}

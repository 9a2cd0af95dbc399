/**
 * What holds of an egress for whoever calls it. The real edge and the stand-in are held to it alike, so
 * that nobody's tests are about a stand-in that behaves as no edge does. [TE1]
 */
import { beforeAll, describe, expect, test } from "vitest";
import type { ProblemCode } from "../../src/core/problems.ts";
import { createEgress, type Egress, EgressError, egressOf } from "../../src/sdk/egress.ts";
import { openWebSocket } from "../../src/sdk/node/open-websocket.ts";
import type { StandInAnswer } from "../../src/testing/edge/stand-in-answer.ts";
import { generateKey } from "../../src/wire/keys.ts";
import { signToken } from "../../src/wire/tokens.ts";

/** An egress, and what it takes to bring about what a test wants to see. */
export interface ContractSubject {
  readonly endpoint: string;
  /** Good for the pool `default`. */
  readonly token: string;
  /** The addresses of that pool. */
  readonly ips: readonly string[];
  /** Miniflare's own server hands on nothing of a body that then breaks off. */
  readonly isHeldBack?: true;
  /** A destination that nobody may reach. */
  readonly prohibited: string;
  /** Where a TCP connection gets back what it sends. */
  readonly echo: string;
  /** A destination that answers so. */
  readonly told: (answer: StandInAnswer) => Promise<string>;
  /** What that destination got last. */
  readonly seen: (url: string) => Promise<SeenByDestination>;
  /** A call that is refused with this code, until the next one is arranged. */
  readonly refusing: (code: ArrangedRefusal) => Promise<ArrangedCall>;
}

/** Refusals that are brought about, since no request brings them about by itself. */
export type ArrangedRefusal = Extract<
  ProblemCode,
  "port-block-exhausted" | "lease-lost" | "destination-denied" | "requests-limited"
>;

/** A call, where the usual one will not do. */
export interface ArrangedCall {
  readonly url: string;
  readonly endpoint?: string;
  readonly token?: string;
  readonly egress?: string;
}

/** A request, as it has come. */
export interface SeenByDestination {
  readonly method: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** Fields of the connection, and those of the platform. */
const NOT_OURS: ReadonlySet<string> = new Set(["connection", "keep-alive", "date", "transfer-encoding"]);
const OF_A_REFUSAL = ["cache-control", "content-length", "content-type", "proxy-status"];
const ARRANGED = [
  ["port-block-exhausted", 503, "connection_limit_reached"],
  ["lease-lost", 503, "destination_unavailable"],
  ["destination-denied", 403, "http_request_denied"],
  ["requests-limited", 429, "http_request_denied"],
] as const satisfies readonly (readonly [ArrangedRefusal, number, string])[];

/** A request that is refused for what it is. */
interface BadRequest {
  readonly code: ProblemCode;
  readonly status: number;
  readonly error: string | null;
  readonly path?: string;
  readonly headers?: Readonly<Record<string, string | null>>;
  /** Whether a host has said it, and names itself. */
  readonly isOfHost?: boolean;
  readonly more?: readonly string[];
}

const TO = (url: string): string => `/v1/fetch?url=${encodeURIComponent(url)}`;
/** Only what is asked of the egress API has a name. [MT9] */
const ELSEWHERE = "/nothing/here";
const AUTHORIZATION = "egress-authorization";
const DENIED = "http_request_denied";
const WRONG = "http_request_error";
const CHALLENGED = { status: 401, error: DENIED, more: ["www-authenticate"] } as const;

const BAD_REQUESTS: readonly BadRequest[] = [
  { code: "token-missing", ...CHALLENGED, headers: { [AUTHORIZATION]: null } },
  { code: "token-missing", ...CHALLENGED, headers: { [AUTHORIZATION]: null, authorization: "Bearer x" } },
  { code: "token-missing", ...CHALLENGED, headers: { [AUTHORIZATION]: null }, path: ELSEWHERE },
  { code: "token-malformed", ...CHALLENGED, headers: { [AUTHORIZATION]: "Bearer nonsense" } },
  { code: "token-malformed", ...CHALLENGED, headers: { [AUTHORIZATION]: "Basic eDp5" } },
  { code: "token-signature-invalid", ...CHALLENGED, headers: { [AUTHORIZATION]: "FORGED" } },
  { code: "route-unknown", status: 404, error: null, path: ELSEWHERE },
  { code: "pool-denied", status: 403, error: DENIED, headers: { egress: "pool=elsewhere" } },
  { code: "ip-unknown", status: 404, error: WRONG, headers: { egress: 'ip="198.51.100.77"' } },
  {
    code: "selection-malformed",
    status: 400,
    error: WRONG,
    headers: { egress: "pool=default, pool=default" },
  },
  { code: "selection-key-unknown", status: 400, error: WRONG, headers: { egress: "contry=de" } },
  { code: "selection-value-invalid", status: 400, error: WRONG, headers: { egress: 'country="Germany"' } },
  { code: "selection-unserved", status: 404, error: WRONG, headers: { egress: "country=aq" } },
  { code: "url-missing", status: 400, error: WRONG, path: "/v1/fetch", isOfHost: true },
  { code: "url-malformed", status: 400, error: WRONG, path: TO("nonsense"), isOfHost: true },
  {
    code: "url-malformed",
    status: 400,
    error: WRONG,
    path: `${TO("http://o.test/?a=1")}&b=2`,
    isOfHost: true,
  },
  { code: "url-scheme-unsupported", status: 400, error: WRONG, path: TO("ftp://o.test/"), isOfHost: true },
  { code: "url-credentials", status: 400, error: WRONG, path: TO("http://u:p@o.test/"), isOfHost: true },
  { code: "url-port-invalid", status: 400, error: WRONG, path: TO("http://o.test:0/"), isOfHost: true },
  {
    code: "redirect-mode-invalid",
    status: 400,
    error: WRONG,
    headers: { "egress-redirect": "maybe" },
    isOfHost: true,
  },
  {
    code: "destination-prohibited",
    status: 403,
    error: "destination_ip_prohibited",
    path: "PROHIBITED",
    isOfHost: true,
  },
  { code: "upgrade-required", status: 426, error: null, path: "/v1/connect?to=o.test:1" },
];

/** Declares the contract for one egress. */
export function holdToContract(start: () => Promise<ContractSubject>): void {
  let subject: ContractSubject;
  let egress: Egress;
  beforeAll(async () => {
    subject = await start();
    egress = createEgress({ endpoint: subject.endpoint, token: subject.token, openWebSocket });
  });

  /** Sends to the edge itself, with the token, and takes the answer as it is. */
  async function ask(
    path: string,
    headers: Readonly<Record<string, string | null>> = {},
    init: RequestInit & { readonly duplex?: "half" } = {},
  ): Promise<Response> {
    const fields = { [AUTHORIZATION]: `Bearer ${subject.token}`, ...headers };
    const given = Object.entries(fields).filter((field): field is [string, string] => field[1] !== null);
    return fetch(`${subject.endpoint}${path}`, { redirect: "manual", ...init, headers: given });
  }

  async function through(
    url: string,
    headers: Readonly<Record<string, string | null>> = {},
    init: RequestInit = {},
  ): Promise<Response> {
    return ask(TO(url), headers, init);
  }

  async function expectProblem(
    response: Response,
    { code, status, error, path, isOfHost = false, more = [] }: BadRequest,
  ): Promise<void> {
    const parameter = error === null ? "" : `error=${error};`;
    const told = response.headers.get("proxy-status");
    expect([response.status, told]).toEqual([status, `ipshard;${parameter}details="${code}"`]);
    expect(response.headers.get("content-type")).toBe("application/problem+json");
    expect(response.headers.get("cache-control")).toBe("no-store");
    const names = [...OF_A_REFUSAL, ...more, ...(isOfHost ? ["egress-host"] : [])];
    if (path !== ELSEWHERE) names.push("egress-request-id");
    expect(namesOf(response)).toEqual(names.toSorted());
    const body = (await response.json()) as Record<string, unknown>;
    expect(body).toMatchObject({
      type: `urn:ipshard:problem:${code}`,
      status,
      code,
      title: expect.any(String),
    });
    expect(
      Object.keys(body).filter((name) => !["type", "status", "code", "title", "detail"].includes(name)),
    ).toEqual([]);
  }

  describe("what destinations answer", () => {
    test("[TE1] status, fields and body are the destination's, and three fields say where it left from", async () => {
      const url = await subject.told({
        status: 201,
        body: "made",
        headers: {
          "content-type": "text/x-mine",
          "x-mine": "1",
          "set-cookie": ["a=1; Path=/", "b=2"],
          "egress-ip": "203.0.113.9",
          "proxy-status": "cache;error=x",
        },
      });
      const response = await through(url);
      expect([response.status, await response.text()]).toEqual([201, "made"]);
      expect(namesOf(response)).toEqual([
        "content-length",
        "content-type",
        "egress-host",
        "egress-ip",
        "egress-port",
        "egress-request-id",
        "proxy-status",
        "set-cookie",
        "x-mine",
      ]);
      expect(response.headers.get("content-type")).toBe("text/x-mine");
      expect(response.headers.getSetCookie()).toEqual(["a=1; Path=/", "b=2"]);
      expect(response.headers.get("proxy-status")).toBe("cache;error=x, ipshard;received-status=201");
      const { ip, port, host } = egressOf(response)!;
      expect(subject.ips).toContain(ip);
      expect(port).toBeGreaterThan(1_023);
      expect(port).toBeLessThan(65_536);
      expect(host).toMatch(/^[a-z0-9][a-z0-9._-]*$/);
    });

    test.each([204, 304, 404, 429, 500, 503])("[TE1] %i is an answer, and no refusal", async (status) => {
      const response = await egress.fetch(
        await subject.told({ status, body: status < 400 ? "" : "so it is" }),
      );
      expect(response.status).toBe(status);
      expect(await response.text()).toBe(status < 400 ? "" : "so it is");
      expect(response.headers.get("proxy-status")).toBe(`ipshard;received-status=${status}`);
    });

    test("[TE1] HEAD has the fields and no body", async () => {
      const response = await through(await subject.told({ body: "12345" }), {}, { method: "HEAD" });
      expect([response.status, response.headers.get("content-length"), await response.text()]).toEqual([
        200,
        "5",
        "",
      ]);
      expect(response.headers.has("egress-ip")).toBe(true);
    });

    test("[TE1] the destination gets what was sent, and nothing of ours", async () => {
      const url = await subject.told({ body: "ok" });
      const headers = {
        authorization: "Basic Zm9v",
        "x-mine": "1",
        "x-forwarded-for": "192.0.2.7",
        "egress-redirect": "manual",
        egress: "session=one",
      };
      await (await through(url, headers, { method: "PUT", body: "a body" })).text();
      const seen = await subject.seen(url);
      expect([seen.method, seen.body]).toEqual(["PUT", "a body"]);
      expect(seen.headers).toMatchObject({
        authorization: "Basic Zm9v",
        "x-mine": "1",
        "content-length": "6",
      });
      const ours = Object.keys(seen.headers).filter((name) => /^(egress|x-forwarded|cf-)/.test(name));
      expect(ours).toEqual([]);
    });
  });

  describe("redirects", () => {
    test("[TE1] they are returned, or followed on demand", async () => {
      const target = await subject.told({ body: "there" });
      const url = await subject.told({ status: 302, headers: { location: target } });
      const returned = await through(url);
      expect([returned.status, returned.headers.get("location")]).toEqual([302, target]);
      const followed = await through(url, { "egress-redirect": "follow" });
      expect([followed.status, await followed.text()]).toEqual([200, "there"]);
      expect(followed.headers.get("egress-location")).toBe(target);
      const response = await egress.fetch(url, { method: "POST", body: "x" });
      expect([response.url, response.redirected, await response.text()]).toEqual([target, true, "there"]);
      expect((await subject.seen(target)).method).toBe("GET");
    });

    test("[TE1] a body is sent again by the SDK alone", async () => {
      const target = await subject.told({ body: "there" });
      const url = await subject.told({ status: 307, headers: { location: target } });
      const refused = await through(url, { "egress-redirect": "follow" }, { method: "POST", body: "again" });
      expect(refused.headers.get("egress-location")).toBe(target);
      expect(refused.headers.get("proxy-status")).toMatch(/details="redirect-not-replayable"$/);
      await refused.text();
      await (await egress.fetch(url, { method: "POST", body: "again" })).text();
      expect(await subject.seen(target)).toMatchObject({ method: "POST", body: "again" });
    });
  });

  describe("refusals", () => {
    test.each(BAD_REQUESTS.map((bad) => [bad.code, bad] as const))("[TE1] %s", async (_code, bad) => {
      const headers = { ...bad.headers };
      if (headers[AUTHORIZATION] === "FORGED") headers[AUTHORIZATION] = `Bearer ${await forgedToken()}`;
      const path = bad.path === "PROHIBITED" ? TO(subject.prohibited) : (bad.path ?? TO("http://o.test/"));
      await expectProblem(await ask(path, headers), bad);
    });

    test.each(ARRANGED)(
      "[TE2] %s is said with %i, and by the SDK as an EgressError",
      async (code, status, error) => {
        const call = await subject.refusing(code);
        const { endpoint = subject.endpoint, token = subject.token, url } = call;
        const headers: Record<string, string> = { [AUTHORIZATION]: `Bearer ${token}` };
        if (call.egress !== undefined) headers["egress"] = call.egress;
        // A host that is asked in the edge's place repeats the name that the edge would have given.
        if (call.endpoint !== undefined) headers["egress-request-id"] = crypto.randomUUID();
        const response = await fetch(`${endpoint}${TO(url)}`, { headers });
        const more = status === 429 ? ["retry-after"] : [];
        await expectProblem(response, { code, status, error, isOfHost: true, more });
        if (status === 429) expect(Number(response.headers.get("retry-after"))).toBeGreaterThan(0);
        const again = await subject.refusing(code);
        const sdk = createEgress({ endpoint, token });
        const call2 = sdk.fetch(
          again.url,
          again.egress === undefined ? {} : { headers: {}, egress: selectionIn(again.egress) },
        );
        const fault = await call2.catch((thrown: unknown) => thrown);
        expect(fault).toBeInstanceOf(EgressError);
        expect(fault).toMatchObject({ code, status });
      },
    );
  });

  describe("what takes its time, and what breaks off", () => {
    test("[TE2] a slow answer is waited for, and a caller may give it up", async () => {
      const url = await subject.told({ body: "late", afterMs: 300 });
      const beganMs = performance.now();
      const response = await egress.fetch(url);
      expect(performance.now() - beganMs).toBeGreaterThanOrEqual(290);
      expect(await response.text()).toBe("late");
      const never = await subject.told({ body: "never", afterMs: 60_000 });
      await expect(egress.fetch(never, { signal: AbortSignal.timeout(100) })).rejects.toMatchObject({
        name: "TimeoutError",
      });
    });

    test("[TE2] a head comes ahead of its body", async () => {
      const url = await subject.told({ body: "body", bodyAfterMs: 300 });
      const response = await egress.fetch(url);
      const hasHeadMs = performance.now();
      expect(await response.text()).toBe("body");
      expect(performance.now() - hasHeadMs).toBeGreaterThan(100);
    });

    test("[TE2] a body that breaks off never looks complete, and what came of it is there", async () => {
      const body = "0123456789".repeat(100);
      const url = await subject.told({ body, cutAfterBytes: 500 });
      const response = await egress.fetch(url);
      expect(response.status).toBe(200);
      // Miniflare sends in chunks what is a stream: it shows all the same.
      expect(["1000", null]).toContain(response.headers.get("content-length"));
      let came = "";
      const reading = (async () => {
        const decoder = new TextDecoder();
        for await (const piece of response.body!) came += decoder.decode(piece, { stream: true });
      })();
      await expect(reading).rejects.toBeInstanceOf(TypeError);
      expect(came).toBe(subject.isHeldBack === true ? "" : body.slice(0, 500));
    });
  });

  describe("sessions", () => {
    test("[TE1] a session keeps its address, and is told for how long if it asks for that", async () => {
      const url = await subject.told({ body: "ok" });
      const seen = new Set<string>();
      for (let count = 0; count < 5; count += 1) {
        const response = await egress.fetch(url, { egress: { session: "cart-42" } });
        await response.text();
        seen.add(egressOf(response)!.ip);
        expect(response.headers.has("egress-session-until")).toBe(false);
      }
      expect(seen.size).toBe(1);
      const held = await egress.fetch(url, { egress: { session: "cart-42", ttl: 600 } });
      await held.text();
      const until = Number(/^@(\d+)$/.exec(held.headers.get("egress-session-until") ?? "")?.[1]);
      const inSeconds = until - Date.now() / 1_000;
      expect(inSeconds).toBeGreaterThan(0);
      expect(inSeconds).toBeLessThan(601);
    });

    test("[TE1] an address that is named is the one", async () => {
      const url = await subject.told({ body: "ok" });
      for (const ip of subject.ips) {
        const response = await egress.fetch(url, { egress: { ip } });
        await response.text();
        expect(egressOf(response)!.ip).toBe(ip);
      }
    });
  });

  describe("pages", () => {
    const PAGE = { origin: "https://page.example" };

    test("[TE1] a preflight is let through, without a token", async () => {
      const asked = {
        ...PAGE,
        [AUTHORIZATION]: null,
        "access-control-request-method": "PUT",
        "access-control-request-headers": "egress-authorization, x-mine",
      };
      const response = await ask(TO("http://o.test/"), asked, { method: "OPTIONS" });
      expect(response.status).toBe(204);
      expect(Object.fromEntries(response.headers)).toMatchObject({
        "access-control-allow-origin": "*",
        "access-control-allow-methods": "PUT",
        "access-control-allow-headers": "egress-authorization, x-mine",
        "access-control-max-age": "86400",
      });
    });

    test("[TE1] answers and refusals can be read, and no cookie is stored for the edge", async () => {
      const url = await subject.told({ body: "ok", headers: { "set-cookie": "a=1" } });
      const response = await through(url, PAGE);
      expect(Object.fromEntries(response.headers)).toMatchObject({
        "access-control-allow-origin": "*",
        "access-control-expose-headers": "*",
        "egress-kept-set-cookie-0": "a=1",
        vary: "egress, egress-authorization, egress-redirect",
      });
      expect(response.headers.has("set-cookie")).toBe(false);
      await response.text();
      const refused = await ask(TO("nonsense"), PAGE);
      expect(refused.headers.get("access-control-allow-origin")).toBe("*");
      expect((await refused.json()) as object).toMatchObject({ code: "url-malformed" });
    });
  });

  describe("TCP connections", () => {
    test("[TE5] bytes pass in both directions, and the end of each", async () => {
      const socket = egress.connect(subject.echo, { allowHalfOpen: true });
      const { remoteAddress, egress: source } = await socket.opened;
      expect(remoteAddress).toBe(subject.echo);
      expect(subject.ips).toContain(source.ip);
      const writer = socket.writable.getWriter();
      await writer.write(new TextEncoder().encode("ping ".repeat(50_000)));
      await writer.close();
      expect(await new Response(socket.readable).text()).toBe("ping ".repeat(50_000));
      await socket.closed;
    });

    test("[TE5] a refusal rejects with its code", async () => {
      const { opened, closed } = egress.connect(new URL(subject.prohibited).host + ":5432");
      const fault = await opened.catch((thrown: unknown) => thrown);
      expect(fault).toMatchObject({ code: "destination-prohibited", status: 403 });
      await expect(closed).rejects.toMatchObject({ code: "destination-prohibited" });
    });
  });
}

function namesOf(response: Response): string[] {
  return [...new Set(response.headers.keys())].filter((name) => !NOT_OURS.has(name)).toSorted();
}

/** As good as any, but for who signed it. */
async function forgedToken(): Promise<string> {
  const identity = {
    role: "client",
    subject: "x",
    pools: ["default"],
    expiresAtMs: Date.now() + 60_000,
  } as const;
  return signToken(identity, await generateKey("issuer"));
}

function selectionIn(field: string): { readonly ip: string } {
  return { ip: /ip="([^"]+)"/.exec(field)![1]! };
}

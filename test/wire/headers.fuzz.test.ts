/** Headers and tokens from strangers: refused by name or read for what they are. */
import { CompactSign, importJWK, type JWK } from "jose";
import * as fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";

import { generateKey, publicPart } from "../../src/wire/keys.ts";
import { problemCodeOf } from "../../src/wire/problem-response.ts";
import { formatSelection, parseSelection } from "../../src/wire/selection-header.ts";
import { bearerOf, TokenVerifier } from "../../src/wire/tokens.ts";
import { garbage, mutationsOf } from "./mutations.ts";

/** As large as the largest header that is taken. */
const LONGEST = 32 * 1024;

/** A header of these pieces, in any order and number. */
function headerOf(...pieces: readonly string[]): fc.Arbitrary<string> {
  const piece = fc.oneof({ weight: 5, arbitrary: fc.constantFrom(...pieces) }, fc.string({ maxLength: 5 }));
  return fc.array(piece, { maxLength: 16 }).map((parts) => parts.join(""));
}

/** The largest headers, all of one piece, or of one piece after a beginning. */
function longestOf(beginnings: readonly string[], pieces: readonly string[]): string[] {
  return beginnings.flatMap((beginning) =>
    pieces.map((piece) => beginning + piece.repeat((LONGEST - beginning.length) / piece.length)),
  );
}

describe("the egress header", () => {
  const members = ["pool=eu", "ip=", '"192.0.2.1"', "session=", '"a b"', "sticky=strict", "sticky=soft"];
  const places = ["country=de", "country=DE", "country=", "site=fra1", "site="];
  const signs = [", ", ",", "=", ";", ";q=1", '"', "\\", "(", ")", ":AA==:", "?1", "@1", "%", " ", "\t"];
  const codes = ["selection-malformed", "selection-key-unknown", "selection-value-invalid"];

  function judge(header: string): boolean {
    const outcome = parseSelection(header);
    if (!outcome.ok) expect(codes).toContain(outcome.refusal.code);
    else expect(parseSelection(formatSelection(outcome.value))).toEqual(outcome);
    return outcome.ok;
  }

  test("[SE1] [SE2] [SE3] is refused by name, or read so that it can be written again", () => {
    let readCount = 0;
    const header = headerOf(
      ...members,
      ...places,
      ...signs,
      "__proto__=a",
      "constructor=a",
      "pool",
      "1",
      "1.5",
      "é",
    );
    fc.assert(
      fc.property(header, (text) => {
        if (judge(text)) readCount += 1;
      }),
      { numRuns: 2_000 },
    );
    expect(readCount).toBeGreaterThan(20);
  });

  test("[SE1] as large as a header may be is judged, however it is built", () => {
    const longest = longestOf(
      ["", "pool=eu,", 'session="', "pool=("],
      ['"', '\\"', '""', '"\\', "a=b,", "pool=eu,", "(", " ", ";a", "1", "*", ","],
    );
    // Of these only spaces mean anything: that nothing is selected.
    for (const text of longest) expect(judge(text)).toBe(text.trim() === "");
  });
});

describe("the proxy-status header", () => {
  const pieces = [
    "ipshard",
    "; ",
    ";",
    "error=",
    "dns_error",
    "details=",
    '"lease-lost"',
    '"',
    ", ",
    "other",
  ];

  test("[ER2] is a refusal of ours with a code, or none", () => {
    fc.assert(
      fc.property(headerOf(...pieces, 'ipshard;details="no-host"'), (text) => {
        const code = problemCodeOf(text);
        if (code === null) return;
        expect(text).toContain(`;details="${code}"`);
        expect(text.startsWith("ipshard;")).toBe(true);
      }),
      { numRuns: 1_000 },
    );
    for (const text of longestOf(["ipshard;", 'ipshard;details="'], ["error=a;", "a", "-", ";"])) {
      expect(problemCodeOf(text)).toBeNull();
    }
  });
});

describe("a token", () => {
  const NOW = Date.UTC(2026, 0, 1);
  const codes = ["token-malformed", "token-signature-invalid", "token-expired", "token-not-yet-valid"];
  let issuer: JWK;
  let verifier: TokenVerifier;

  beforeAll(async () => {
    issuer = await generateKey("issuer");
    verifier = new TokenVerifier({ keys: [publicPart(issuer)] });
  });

  const header = fc.constant({ alg: "Ed25519", kid: "issuer:x" });
  const claims = fc.record(
    {
      sub: fc.string({ minLength: 1, maxLength: 128 }),
      role: fc.constantFrom("client", "host", "router", "admin", "gateway"),
      pools: fc.array(fc.string(), { maxLength: 3 }),
      aud: fc.constant("ipshard"),
      exp: fc.integer({ min: NOW / 1000 - 10, max: NOW / 1000 + 1_000 }),
    },
    { noNullPrototype: true },
  );

  async function judge(token: string): Promise<boolean> {
    const outcome = await verifier.verify(token, NOW);
    if (!outcome.ok) {
      expect(codes).toContain(outcome.refusal);
      return false;
    }
    const { subject, pools, expiresAtMs } = outcome.value;
    expect(subject.length).toBeGreaterThan(0);
    expect(pools.every((pool) => typeof pool === "string")).toBe(true);
    expect(expiresAtMs).toBeGreaterThan(NOW);
    return true;
  }

  test("[ID3] with any claims, well signed, is refused by name or says who bears it", async () => {
    const key = await importJWK(issuer, "Ed25519");
    let readCount = 0;
    await fc.assert(
      fc.asyncProperty(mutationsOf(claims), async (text) => {
        const signing = new CompactSign(new TextEncoder().encode(text));
        signing.setProtectedHeader({ alg: "Ed25519", kid: issuer.kid! });
        if (await judge(await signing.sign(key))) readCount += 1;
      }),
      { numRuns: 300 },
    );
    expect(readCount).toBeGreaterThan(5);
  });

  test("[ID1] [ID2] with any header and any signature is refused by name", async () => {
    const part = fc.oneof(mutationsOf(header), mutationsOf(claims), garbage);
    const parts = fc.array(part, { maxLength: 4 });
    await fc.assert(
      fc.asyncProperty(parts, fc.string(), async (texts, tail) => {
        const encoded = texts.map((text) => Buffer.from(text).toString("base64url"));
        expect(await judge(encoded.join("."))).toBe(false);
        expect(await judge([...encoded.slice(0, 2), tail].join("."))).toBe(false);
        expect(await judge(tail)).toBe(false);
      }),
      { numRuns: 200 },
    );
  });

  test("[ID2] comes out of its header whole, or not at all", () => {
    const pieces = ["Bearer", "bearer ", " ", "\t", "token", ".", "Basic ", "\n"];
    fc.assert(
      fc.property(headerOf(...pieces), (text) => {
        const token = bearerOf(text);
        if (token === null) return;
        expect(text.toLowerCase().startsWith("bearer ")).toBe(true);
        expect(text.endsWith(token)).toBe(true);
        expect(token).toMatch(/^\S+$/);
      }),
    );
    for (const text of longestOf(["Bearer ", "Bearer a"], [" ", "a ", "\t"])) {
      expect(bearerOf(text)).toBeNull();
    }
  });
});

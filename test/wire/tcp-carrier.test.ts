import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  type CarrierControl,
  costOf,
  formatCloseReason,
  formatControl,
  LEAST_COST_BYTES,
  MAX_CONTROL_LENGTH,
  MAX_CREDIT_BYTES,
  MAX_MESSAGE_BYTES,
  parseCloseReason,
  parseControl,
  sendableBytes,
  WINDOW_BYTES,
} from "../../src/wire/tcp-carrier.ts";
import { formatConnectTarget, parseConnectTarget } from "../../src/wire/connect-target.ts";
import { PROBLEM_CODES } from "../../src/core/problems.ts";

const name = fc.stringMatching(/^[a-z0-9_][a-z0-9_.:-]{0,60}[a-z0-9_.]$/);
const control: fc.Arbitrary<CarrierControl> = fc.oneof(
  fc.record({ type: fc.constant("credit" as const), bytes: fc.integer({ min: 1, max: MAX_CREDIT_BYTES }) }),
  fc.constant({ type: "end" as const }),
  fc.constantFrom({ type: "secured" as const }, { type: "ping" as const }, { type: "pong" as const }),
  fc.record({ type: fc.constant("start-tls" as const), name: fc.option(name) }),
);

describe("controls", () => {
  it("[RC4] [RC6] are read as they were written", () => {
    fc.assert(
      fc.property(control, (given) => {
        const text = formatControl(given);
        expect(text.length).toBeLessThanOrEqual(MAX_CONTROL_LENGTH);
        expect(parseControl(text)).toEqual({ ok: true, value: given });
      }),
    );
  });

  it("[RC4] are refused in words, whatever else comes, and read in one way only", () => {
    const broken = fc
      .tuple(control, fc.nat(60), fc.nat(3), fc.string({ maxLength: 3 }))
      .map(([given, at, cut, put]) => {
        const text = formatControl(given);
        return text.slice(0, at) + put + text.slice(at + cut);
      });
    const strange = fc.oneof(
      fc.string(),
      fc.json(),
      broken,
      fc.string({ minLength: 1_000, maxLength: 1_100 }),
    );
    fc.assert(
      fc.property(strange, (text) => {
        const read = parseControl(text);
        if (read.ok) expect(parseControl(formatControl(read.value))).toEqual(read);
        else expect(read.refusal).toMatch(/^[A-Z].{4,60}\.$/);
      }),
      { numRuns: 2_000 },
    );
  });

  it.each([
    "",
    "null",
    "[]",
    '"end"',
    "{}",
    '{"type":"credit"}',
    '{"type":"credit","bytes":1.5}',
    '{"type":"credit","bytes":-1}',
    '{"type":"credit","bytes":"1"}',
    '{"type":"credit","bytes":1,"more":1}',
    '{"type":"end","__proto__":{}}',
    '{"type":"start-tls"}',
    '{"type":"start-tls","name":""}',
    '{"type":"start-tls","name":"a b"}',
    '{"type":"start-tls","name":"-a"}',
    '{"type":"constructor"}',
  ])("[RC4] %s is none", (text) => {
    expect(parseControl(text).ok).toBe(false);
  });
});

describe("credit", () => {
  it("[RC4] is never overdrawn, and always lets something go once it has come back", () => {
    fc.assert(
      fc.property(fc.nat(2 ** 20), fc.integer({ min: 0, max: 2 ** 20 }), (byteCount, creditBytes) => {
        const length = sendableBytes(byteCount, creditBytes);
        expect(length).toBeLessThanOrEqual(Math.min(byteCount, MAX_MESSAGE_BYTES));
        if (length > 0) expect(costOf(length)).toBeLessThanOrEqual(creditBytes);
        if (byteCount > 0 && creditBytes >= LEAST_COST_BYTES) expect(length).toBeGreaterThan(0);
      }),
    );
  });

  it("[RC4] lets no window hold more than 512 messages", () => {
    let creditBytes = WINDOW_BYTES;
    let count = 0;
    while (sendableBytes(1, creditBytes) > 0) {
      creditBytes -= costOf(1);
      count += 1;
    }
    expect(count).toBe(512);
  });
});

describe("the reason of a close", () => {
  it("[RC5] begins with the code, and fits a close frame", () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...PROBLEM_CODES),
        fc.option(fc.string({ maxLength: 300 })),
        (code, detail) => {
          const reason = formatCloseReason(code, detail ?? undefined);
          expect(Buffer.byteLength(reason)).toBeLessThanOrEqual(123);
          expect(parseCloseReason(reason)?.code).toBe(code);
        },
      ),
    );
    expect(parseCloseReason("lease-lost")).toEqual({ code: "lease-lost", detail: null });
    expect(parseCloseReason("tls-error: It failed: so.")).toEqual({
      code: "tls-error",
      detail: "It failed: so.",
    });
    for (const strange of ["", "Bye", "1006", "lease lost"]) expect(parseCloseReason(strange)).toBe(null);
  });
});

describe("a target", () => {
  it.each([
    ["db.example.com:5432", "db.example.com", 5_432],
    ["DB.Example.com:1", "db.example.com", 1],
    ["db.example.com.:65535", "db.example.com.", 65_535],
    ["192.0.2.1:80", "192.0.2.1", 80],
    ["127.1:443", "127.0.0.1", 443],
    ["0x7f000001:443", "127.0.0.1", 443],
    ["[2001:DB8::1]:443", "[2001:db8::1]", 443],
    ["[::ffff:127.0.0.1]:443", "[::ffff:7f00:1]", 443],
    ["bücher.example:25", "xn--bcher-kva.example", 25],
    ["my_db:5432", "my_db", 5_432],
  ])("[RC1] %s is read", (text, hostname, port) => {
    const target = parseConnectTarget(text);
    expect(target).toEqual({ hostname, port });
    expect(parseConnectTarget(formatConnectTarget(target!))).toEqual(target);
  });

  it.each([
    "",
    ":80",
    "db.example.com",
    "db.example.com:",
    "db.example.com:0",
    "db.example.com:65536",
    "db.example.com:-1",
    "db.example.com:080000",
    "db.example.com:5432/x",
    "user@db.example.com:5432",
    "http://db.example.com:5432",
    "db.example.com:5432 ",
    "db example.com:5432",
    "2001:db8::1:443",
    "[2001:db8::1]",
    "[2001:db8::1%25eth0]:443",
    "[db.example.com]:443",
    "a.1.2.3.4.256:80",
    "%00:80",
  ])("[RC1] %j is refused", (text) => {
    expect(parseConnectTarget(text)).toBe(null);
  });

  it("[RC1] is read or refused, whatever it is, and has one spelling", () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.tuple(fc.string(), fc.nat(70_000)).map((two) => two.join(":")),
        ),
        (text) => {
          const target = parseConnectTarget(text);
          if (target !== null) expect(parseConnectTarget(formatConnectTarget(target))).toEqual(target);
        },
      ),
      { numRuns: 2_000 },
    );
    expect(formatConnectTarget({ hostname: "2001:db8::1", port: 443 })).toBe("[2001:db8::1]:443");
  });
});

/** The datagrams between a client of SOCKS5 and its relay. */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { datagramHeader, readDatagram } from "../../src/agent/traffic/socks/udp-datagram.ts";

const port = fc.integer({ min: 1, max: 65_535 });
const payload = fc.uint8Array({ maxLength: 64 }).map((bytes) => Buffer.from(bytes));
const ipv4 = fc.ipV4();
const name = fc.stringMatching(/^[\x21-\x7e]{1,255}$/);

test("[UD6] the header of any source is read back as it was written, and the payload with it", () => {
  fc.assert(
    fc.property(ipv4, port, payload, (ip, at, data) => {
      const read = readDatagram(Buffer.concat([datagramHeader(ip, at), data]));
      expect(read).toEqual({ ok: true, value: { host: ip, port: at, payload: data } });
    }),
  );
  for (const ip of ["2001:db8::1", "::1", "64:ff9b::102:304", "2001:db8:1:2:3:4:5:6"]) {
    const read = readDatagram(Buffer.concat([datagramHeader(ip, 53), Buffer.from("x")]));
    expect(read).toEqual({ ok: true, value: { host: ip, port: 53, payload: Buffer.from("x") } });
  }
});

test("[UD6] a name of up to 255 bytes is read as it came", () => {
  fc.assert(
    fc.property(name, port, payload, (host, at, data) => {
      const bytes = Buffer.from([0, 0, 0, 3, host.length, ...Buffer.from(host), at >> 8, at & 255, ...data]);
      expect(readDatagram(bytes)).toEqual({ ok: true, value: { host, port: at, payload: data } });
    }),
  );
});

test("[UD6] an empty payload is one, and the largest there is too", () => {
  expect(readDatagram(datagramHeader("192.0.2.1", 9))).toMatchObject({ ok: true, value: { port: 9 } });
  const read = readDatagram(Buffer.concat([datagramHeader("192.0.2.1", 9), Buffer.alloc(65_497, 1)]));
  expect(read.ok && read.value.payload.length).toBe(65_497);
});

test("[UD6] a fragment is refused as such, whatever its number", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 255 }), (fragment) => {
      const bytes = Buffer.concat([datagramHeader("192.0.2.1", 9), Buffer.from("part")]);
      bytes[2] = fragment;
      expect(readDatagram(bytes)).toEqual({ ok: false, refusal: "datagram-fragmented" });
    }),
  );
});

test.each([
  ["nothing", []],
  ["no type", [0, 0, 0]],
  ["a reserved byte that is set", [0, 1, 0, 1, 192, 0, 2, 1, 0, 9]],
  ["the other one", [1, 0, 0, 1, 192, 0, 2, 1, 0, 9]],
  ["an unknown type", [0, 0, 0, 2, 192, 0, 2, 1, 0, 9]],
  ["an address that ends early", [0, 0, 0, 1, 192, 0, 2]],
  ["half a port", [0, 0, 0, 1, 192, 0, 2, 1, 0]],
  ["an IPv6 address that ends early", [0, 0, 0, 4, 192, 0, 2, 1, 0, 9]],
  ["a name that is longer than the rest", [0, 0, 0, 3, 9, 97, 98, 0, 9]],
  ["a name without a character", [0, 0, 0, 3, 0, 0, 9]],
  ["port 0", [0, 0, 0, 1, 192, 0, 2, 1, 0, 0]],
])("[UD6] %s is malformed", (_what, bytes) => {
  expect(readDatagram(Buffer.from(bytes))).toEqual({ ok: false, refusal: "datagram-malformed" });
});

test("[UD6] whatever comes is read or refused, and every beginning of a header is refused", () => {
  const start = fc.constantFrom(
    [],
    [0, 0],
    [0, 0, 0],
    [0, 0, 0, 1],
    [0, 0, 0, 3],
    [0, 0, 0, 4],
    [0, 0, 0, 3, 9],
  );
  fc.assert(
    fc.property(start, fc.uint8Array({ maxLength: 300 }), (begun, rest) => {
      const bytes = Buffer.from([...begun, ...rest]);
      const read = readDatagram(bytes);
      if (read.ok) {
        const { host, port: at, payload: data } = read.value;
        expect([at > 0, host !== ""]).toEqual([true, true]);
        expect(bytes.subarray(bytes.length - data.length)).toEqual(data);
      } else {
        expect(read.refusal).toMatch(/^datagram-(malformed|fragmented)$/);
      }
    }),
    { numRuns: 2_000 },
  );
  for (const ip of ["192.0.2.1", "2001:db8::1"]) {
    const header = datagramHeader(ip, 53);
    for (let length = 0; length < header.length; length += 1) {
      expect(readDatagram(header.subarray(0, length)).ok).toBe(false);
    }
  }
});

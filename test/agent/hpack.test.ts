/** Header blocks of HTTP/2: the examples of RFC 7541, what is none, and what we write ourselves. */
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { HpackDecoder, HpackError } from "../../src/agent/traffic/http2/hpack-decoder.ts";
import { encodeFields } from "../../src/agent/traffic/http2/hpack-encoder.ts";
import { decodeHuffman } from "../../src/agent/traffic/http2/hpack-huffman.ts";

function decode(decoder: HpackDecoder, hex: string): string[] {
  const fields: string[] = [];
  decoder.decode(Buffer.from(hex.replaceAll(" ", ""), "hex"), (name, value) => fields.push(name, value));
  return fields;
}

describe("examples of RFC 7541", () => {
  it("[OR11] C.4: requests in the Huffman code, with a table", () => {
    const decoder = new HpackDecoder();
    const first = [":method", "GET", ":scheme", "http", ":path", "/", ":authority", "www.example.com"];
    expect(decode(decoder, "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff")).toEqual(first);
    expect(decode(decoder, "8286 84be 5886 a8eb 1064 9cbf")).toEqual([...first, "cache-control", "no-cache"]);
    expect(decode(decoder, "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf")).toEqual([
      ":method",
      "GET",
      ":scheme",
      "https",
      ":path",
      "/index.html",
      ":authority",
      "www.example.com",
      "custom-key",
      "custom-value",
    ]);
  });

  it("[OR11] C.2: literals with and without a table", () => {
    expect(
      decode(new HpackDecoder(), "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572"),
    ).toEqual(["custom-key", "custom-header"]);
    expect(decode(new HpackDecoder(), "1008 7061 7373 776f 7264 0673 6563 7265 74")).toEqual([
      "password",
      "secret",
    ]);
  });
});

describe("what is no block", () => {
  it.each([
    ["an index of 0", "80"],
    ["an index beyond the tables", "be"],
    ["a number without end", "ffffffffffffffffffff"],
    ["a string beyond the block", "400a63"],
    ["a table that is too large", "3fe21f"],
    ["a size behind a field", "8220"],
    ["padding of zeros", "408000"],
    ["padding of a whole byte", "4081ff00"],
    ["the end within a string", "4084ffffffff00"],
  ])("[OR11] %s", (_what, hex) => {
    if (hex === "408000") return expect(decodeHuffman(Buffer.from([0x00]))).toBeNull();
    return expect(() => decode(new HpackDecoder(), hex)).toThrow(HpackError);
  });

  it("[OR11] any bytes either decode or are refused", () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 5 }), (blocks) => {
        const decoder = new HpackDecoder();
        try {
          for (const block of blocks) decoder.decode(Buffer.from(block), () => {});
        } catch (fault) {
          expect(fault).toBeInstanceOf(HpackError);
        }
      }),
    );
  });
});

it("[OR11] the table forgets the oldest, and is emptied by what is larger than it", () => {
  const decoder = new HpackDecoder();
  const field = (name: string, value: string): string =>
    Buffer.concat([
      Buffer.from([0x40, name.length]),
      Buffer.from(name),
      Buffer.from([0x7f, ((value.length - 127) % 128) | 0x80, Math.floor((value.length - 127) / 128)]),
      Buffer.from(value),
    ]).toString("hex");
  decode(decoder, field("one", "1".repeat(2_500)));
  expect(decode(decoder, "be")).toEqual(["one", "1".repeat(2_500)]);
  decode(decoder, field("two", "2".repeat(2_500)));
  expect(decode(decoder, "be")).toEqual(["two", "2".repeat(2_500)]);
  expect(() => decode(decoder, "bf")).toThrow(HpackError);
  decode(decoder, field("three", "3".repeat(5_000)));
  expect(() => decode(decoder, "be")).toThrow(HpackError);
});

it("[OR11] what is written reads as it was", () => {
  const text = fc.string({
    unit: fc.integer({ min: 0x20, max: 0xff }).map((code) => String.fromCharCode(code)),
  });
  fc.assert(
    fc.property(fc.array(fc.tuple(text, text)), (pairs) => {
      const fields = pairs.flat();
      expect(decode(new HpackDecoder(), encodeFields(fields).toString("hex"))).toEqual(fields);
    }),
  );
  expect(encodeFields([":method", "GET", ":path", "/"]).toString("hex")).toBe("8284");
});

/** Header blocks of HTTP/2 at the edges of what may be: numbers, sizes, and the bytes that we write. */
import { describe, expect, it } from "vitest";
import { HpackDecoder, HpackError } from "../../src/agent/traffic/http2/hpack-decoder.ts";
import { encodeFields } from "../../src/agent/traffic/http2/hpack-encoder.ts";

function decode(decoder: HpackDecoder, hex: string): string[] {
  const fields: string[] = [];
  decoder.decode(Buffer.from(hex.replaceAll(" ", ""), "hex"), (name, value) => fields.push(name, value));
  return fields;
}

/** A number after its prefix of ones (RFC 7541 section 5.1). */
function continued(left: number): string {
  const bytes: number[] = [];
  for (; left >= 128; left = Math.floor(left / 128)) bytes.push((left % 128) + 128);
  return Buffer.from([...bytes, left]).toString("hex");
}

/** A field that goes into the table and counts so many bytes there, all told. */
function entryOf(name: string, bytes: number): string {
  const value = "v".repeat(bytes - 32 - name.length);
  const length =
    value.length < 127 ? Buffer.from([value.length]).toString("hex") : `7f${continued(value.length - 127)}`;
  return `40 01 ${Buffer.from(name).toString("hex")} ${length} ${Buffer.from(value).toString("hex")}`;
}

describe("what we write", () => {
  it.each([
    [126, "7e"],
    [127, "7f00"],
    [128, "7f01"],
    [254, "7f7f"],
    [255, "7f8001"],
    [127 + 128 * 128 - 1, "7fff7f"],
    [127 + 128 * 128, "7f808001"],
  ])("[OR11] says a length of %i in %s", (length, hex) => {
    const value = "x".repeat(length);
    const block = encodeFields(["x", value]).toString("hex");
    expect(block).toBe(`000178${hex}${"78".repeat(length)}`);
    expect(decode(new HpackDecoder(), block)).toEqual(["x", value]);
  });

  it.each([
    ["a field that everybody knows", ["accept-encoding", "gzip, deflate"], "90"],
    ["a name that everybody knows", ["accept-encoding", "br"], "0f01026272"],
    ["the first of equal names", [":method", "PUT"], "0203505554"],
    ["the last name below a second byte", ["accept-charset", "x"], "0f000178"],
    ["a name and nothing", ["accept", ""], "0f0400"],
    ["a field whose value is empty in the table", [":authority", ""], "0100"],
    ["credentials, that nobody may keep", ["authorization", "x"], "1f080178"],
    ["cookies, that nobody may keep", ["cookie", "x"], "1f110178"],
  ])("[OR11] %s", (_what, fields, hex) => {
    expect(encodeFields(fields).toString("hex")).toBe(hex);
    expect(decode(new HpackDecoder(), hex)).toEqual(fields);
  });

  it("[OR11] says first that a small table is not used", () => {
    expect(encodeFields([":method", "GET"], true).toString("hex")).toBe("2082");
    expect(encodeFields([":method", "GET"], false).toString("hex")).toBe("82");
  });
});

describe("numbers", () => {
  it("[OR11] may have five bytes more, and be 2 to the 28th", () => {
    expect(decode(new HpackDecoder(), "0001617f 8080808000".padEnd(19, " ") + "61".repeat(127))).toEqual([
      "a",
      "a".repeat(127),
    ]);
    const length = (value: number): string => `000161 7f${continued(value - 127)}`;
    expect(() => decode(new HpackDecoder(), length(2 ** 28))).toThrow("ends within a string");
    expect(() => decode(new HpackDecoder(), length(2 ** 28 + 1))).toThrow("too large");
    expect(() => decode(new HpackDecoder(), "0001617f 808080808000")).toThrow("too large");
  });

  it("[OR11] end with the block or are none", () => {
    expect(() => decode(new HpackDecoder(), "0001617f80")).toThrow("ends within a field");
    expect(() => decode(new HpackDecoder(), "000161")).toThrow("ends within a field");
  });
});

describe("the tables", () => {
  it("[OR11] the last entry that everybody has is the 61st", () => {
    expect(decode(new HpackDecoder(), "bd")).toEqual(["www-authenticate", ""]);
    expect(() => decode(new HpackDecoder(), "be")).toThrow("no such entry");
    expect(() => decode(new HpackDecoder(), "80")).toThrow("no such entry");
  });

  it("[OR11] hold 4,096 bytes and not one more", () => {
    const decoder = new HpackDecoder();
    decode(decoder, entryOf("a", 4_096));
    expect(decode(decoder, "be")[0]).toBe("a");
    decode(decoder, entryOf("b", 4_097));
    expect(() => decode(decoder, "be")).toThrow(HpackError);
  });

  it("[OR11] forget no more than they must, and count on rightly", () => {
    const decoder = new HpackDecoder();
    for (const name of ["a", "b", "c"]) decode(decoder, entryOf(name, 2_048));
    const names = (): string[] => [decode(decoder, "be")[0]!, decode(decoder, "bf")[0]!];
    expect(names()).toEqual(["c", "b"]);
    expect(() => decode(decoder, "c0")).toThrow(HpackError);
    for (const name of ["d", "e", "f"]) decode(decoder, entryOf(name, 2_048));
    expect(names()).toEqual(["f", "e"]);
    decode(decoder, entryOf("g", 100));
    expect(names()).toEqual(["g", "f"]);
    expect(() => decode(decoder, "c0")).toThrow(HpackError);
  });

  it("[OR11] become smaller at once, and then hold no more", () => {
    const decoder = new HpackDecoder();
    decode(decoder, entryOf("a", 100) + entryOf("b", 100));
    // 100 bytes: 31 and 69 more.
    decode(decoder, "3f45");
    expect(decode(decoder, "be")[0]).toBe("b");
    expect(() => decode(decoder, "bf")).toThrow(HpackError);
    decode(decoder, entryOf("c", 100));
    expect(decode(decoder, "be")[0]).toBe("c");
    expect(() => decode(decoder, "bf")).toThrow(HpackError);
    decode(decoder, "20");
    expect(() => decode(decoder, "be")).toThrow(HpackError);
  });

  it("[OR11] change their size only before all fields, to 4,096 bytes at most", () => {
    expect(decode(new HpackDecoder(), "20 3fe11f 82")).toEqual([":method", "GET"]);
    expect(() => decode(new HpackDecoder(), "3fe21f")).toThrow("larger than allowed");
    for (const field of ["82", "4001610162", "0001610162", "1001610162"]) {
      expect(() => decode(new HpackDecoder(), `${field}20`), field).toThrow("changes within a block");
    }
  });
});

it("[OR11] a string that is not in the Huffman code is named", () => {
  expect(() => decode(new HpackDecoder(), "4081ff00")).toThrow("Huffman");
});

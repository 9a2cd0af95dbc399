/**
 * Reads header blocks of HTTP/2 (HPACK, RFC 7541). One decoder belongs to one connection and must
 * see every block of it, also those that nobody wants: each may change its table.
 */
import { decodeHuffman } from "./hpack-huffman.ts";
import { STATIC_TABLE } from "./hpack-static-table.ts";

/** What an entry of the table counts besides its bytes (RFC 7541 section 4.1). */
const ENTRY_OVERHEAD_BYTES = 32;
/** The size of the table that peers may count on without a word of ours. */
const MAX_TABLE_BYTES = 4_096;
const MAX_INTEGER = 2 ** 28;

/** A block that is none: the connection cannot go on (COMPRESSION_ERROR). */
export class HpackError extends Error {}

/** Told of each field; a character for each byte. */
export type OnField = (name: string, value: string) => void;

/** The state of one direction of one connection. */
export class HpackDecoder {
  /** The newest last. */
  readonly #entries: (readonly [string, string])[] = [];
  #entriesBytes = 0;
  #maxBytes = MAX_TABLE_BYTES;
  #block: Buffer = Buffer.alloc(0);
  #at = 0;

  /** Reads one whole block. Throws `HpackError`. */
  decode(block: Buffer, onField: OnField): void {
    this.#block = block;
    this.#at = 0;
    let hasField = false;
    while (this.#at < block.length) {
      const first = block[this.#at]!;
      if (first >= 0x80) {
        const [name, value] = this.#entry(this.#integer(7));
        onField(name, value);
        hasField = true;
      } else if (first >= 0x40) {
        const [name, value] = this.#literal(6);
        this.#insert(name, value);
        onField(name, value);
        hasField = true;
      } else if (first >= 0x20) {
        if (hasField) throw new HpackError("The table's size changes within a block.");
        this.#resize(this.#integer(5));
      } else {
        const [name, value] = this.#literal(4);
        onField(name, value);
        hasField = true;
      }
    }
  }

  #literal(prefixBits: number): readonly [string, string] {
    const index = this.#integer(prefixBits);
    const name = index === 0 ? this.#string() : this.#entry(index)[0];
    return [name, this.#string()];
  }

  #entry(index: number): readonly [string, string] {
    const entry =
      index <= STATIC_TABLE.length
        ? STATIC_TABLE[index - 1]
        : this.#entries[this.#entries.length - (index - STATIC_TABLE.length)];
    if (entry === undefined) throw new HpackError("There is no such entry.");
    return entry;
  }

  #integer(prefixBits: number): number {
    const mask = 2 ** prefixBits - 1;
    let value = this.#byte() & mask;
    if (value < mask) return value;
    for (let factor = 1; ; factor *= 128) {
      const byte = this.#byte();
      value += (byte & 0x7f) * factor;
      if (value > MAX_INTEGER || factor > MAX_INTEGER) throw new HpackError("A number is too large.");
      if (byte < 0x80) return value;
    }
  }

  #string(): string {
    const isHuffman = (this.#block[this.#at] ?? 0) >= 0x80;
    const length = this.#integer(7);
    const end = this.#at + length;
    if (end > this.#block.length) throw new HpackError("The block ends within a string.");
    const start = this.#at;
    this.#at = end;
    if (!isHuffman) return this.#block.toString("latin1", start, end);
    const text = decodeHuffman(this.#block.subarray(start, end));
    if (text === null) throw new HpackError("A string is not in the Huffman code.");
    return text;
  }

  #byte(): number {
    const byte = this.#block[this.#at];
    if (byte === undefined) throw new HpackError("The block ends within a field.");
    this.#at += 1;
    return byte;
  }

  #insert(name: string, value: string): void {
    const bytes = name.length + value.length + ENTRY_OVERHEAD_BYTES;
    this.#evictTo(this.#maxBytes - bytes);
    // Larger than the table, it only empties it.
    if (bytes > this.#maxBytes) return;
    this.#entries.push([name, value]);
    this.#entriesBytes += bytes;
  }

  #resize(maxBytes: number): void {
    if (maxBytes > MAX_TABLE_BYTES) throw new HpackError("The table would be larger than allowed.");
    this.#maxBytes = maxBytes;
    this.#evictTo(maxBytes);
  }

  #evictTo(bytes: number): void {
    let evicted = 0;
    while (this.#entriesBytes > bytes && evicted < this.#entries.length) {
      const [name, value] = this.#entries[evicted]!;
      this.#entriesBytes -= name.length + value.length + ENTRY_OVERHEAD_BYTES;
      evicted += 1;
    }
    if (evicted > 0) this.#entries.splice(0, evicted);
  }
}

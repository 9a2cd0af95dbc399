/**
 * Text files that are small: tokens, keys, certificates, contexts, policies. What is named by mistake, such as a
 * disk or a log, must not be read until there is no memory left. [CF5]
 */
import { createReadStream } from "node:fs";

/** It was not read to its end. */
export class FileTooLarge extends Error {
  override readonly name = "FileTooLarge";
}

/** More than any of them has; a bundle of all authorities of the Internet takes a quarter of it. */
const MOST_BYTES = 1024 * 1024;

/** The text of a file. Throws as Node does, and for one that is too large. */
export function readSmallFile(file: string): Promise<string> {
  return textUpTo(MOST_BYTES, createReadStream(file));
}

/** The same of standard input. */
export function readSmallInput(): Promise<string> {
  return textUpTo(MOST_BYTES, process.stdin);
}

/** All of it as text; more than so much is refused. */
export async function textUpTo(mostBytes: number, stream: AsyncIterable<Buffer>): Promise<string> {
  return new TextDecoder().decode(await bytesUpTo(mostBytes, stream));
}

/** All of it; more than so much is refused, since a device such as /dev/zero never ends. */
export async function bytesUpTo(
  mostBytes: number,
  stream: AsyncIterable<Buffer>,
): Promise<Uint8Array<ArrayBuffer>> {
  const pieces: Buffer[] = [];
  let byteCount = 0;
  for await (const piece of stream) {
    byteCount += piece.length;
    if (byteCount > mostBytes) throw new FileTooLarge(`it has more than ${mostBytes} bytes`);
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
}

/**
 * Puts frames on a wire as they are, whatever a kernel would think of them: written as a
 * capture file, replayed by netsniff-ng at some 100,000 a second.
 */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execInside } from "./namespaces.ts";

/** The head of a capture file, and that of each frame in it. */
export const FILE_HEAD_BYTES = 24;
export const FRAME_HEAD_BYTES = 16;
const ETHERNET = 1;

/** Sends Ethernet frames out of a device, in order. */
export async function sendFrames(
  namespace: string,
  device: string,
  frames: readonly Uint8Array[],
): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), "ipshard-frames-"));
  try {
    const file = join(directory, "frames.pcap");
    await writeFile(file, captureOf(frames));
    // The default ring is too large for a namespace.
    const options = ["--in", file, "--out", device, "--silent", "--ring-size", "1MiB"];
    await execInside(namespace, ["netsniff-ng", ...options]);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

function captureOf(frames: readonly Uint8Array[]): Buffer {
  const head = Buffer.alloc(FILE_HEAD_BYTES);
  head.writeUInt32LE(0xa1b2c3d4, 0);
  head.writeUInt16LE(2, 4);
  head.writeUInt16LE(4, 6);
  head.writeUInt32LE(65_535, 16);
  head.writeUInt32LE(ETHERNET, 20);
  const parts: Uint8Array[] = [head];
  for (const frame of frames) {
    const frameHead = Buffer.alloc(FRAME_HEAD_BYTES);
    frameHead.writeUInt32LE(frame.length, 8);
    frameHead.writeUInt32LE(frame.length, 12);
    parts.push(frameHead, frame);
  }
  return Buffer.concat(parts);
}

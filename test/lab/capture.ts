/**
 * What was really on a wire. tcpdump writes to us, we write the file: so the end of a capture
 * is certain, since it waits for a frame of its own to come by. Counts are taken by tcpdump
 * from that file, in its filter language.
 */
import { randomBytes } from "node:crypto";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { createWriteStream, type WriteStream } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { sendFrames } from "./inject.ts";
import { inside } from "./namespaces.ts";

const run = promisify(execFile);
/** Set aside by IEEE 802 for local experiments. */
const MARKER_ETHERTYPE = 0x88b5;
/** The head of a capture file, and that of each frame in it. */
const FILE_HEAD_BYTES = 24;
const FRAME_HEAD_BYTES = 16;
let count = 0;

/** One recording, of one device. */
export class Capture {
  /** In the format of tcpdump. */
  readonly file: string;
  readonly #namespace: string;
  readonly #device: string;
  readonly #child: ReturnType<typeof spawn>;
  readonly #marker = randomBytes(32);
  readonly #writer: WriteStream;
  #unread: Buffer = Buffer.alloc(0);
  #isHeadRead = false;
  #seenCount = 0;
  #said = "";
  #onMarker: () => void = () => {};
  #onPacket: () => void = () => {};
  #isOver = false;

  private constructor(namespace: string, device: string, filter: string, directory: string) {
    count += 1;
    this.file = join(directory, `capture-${count}.pcap`);
    this.#namespace = namespace;
    this.#device = device;
    this.#writer = createWriteStream(this.file);
    const wanted = filter === "" ? [] : [`(${filter}) or ether proto ${MARKER_ETHERTYPE}`];
    const options = ["-Z", "root", "-n", "-i", device, "-B", "16384", "-s", "256", "-U", "--immediate-mode"];
    const [command, args] = inside(namespace, ["tcpdump", ...options, "-w", "-", ...wanted]);
    this.#child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"] });
    this.#child.stdout!.on("data", (chunk: Buffer) => this.#take(chunk));
    this.#child.stderr!.setEncoding("utf8").on("data", (text: string) => (this.#said += text));
  }

  /** Records from now on. */
  static async start(namespace: string, device: string, filter: string, directory: string): Promise<Capture> {
    const capture = new Capture(namespace, device, filter, directory);
    // The file's head is written when the device is open.
    await capture.#first();
    return capture;
  }

  /** How many packets have come by. */
  get seenCount(): number {
    return this.#seenCount;
  }

  /** Waits until so many packets have come by. */
  async reaches(packetCount: number): Promise<void> {
    while (this.#seenCount < packetCount) await new Promise<void>((resolve) => (this.#onPacket = resolve));
  }

  /** Ends the recording, with everything in it that passed before this call. */
  async stop(): Promise<void> {
    if (this.#isOver) return;
    const seen = new Promise<void>((resolve) => (this.#onMarker = resolve));
    const frame = Buffer.alloc(64);
    frame.writeUInt16BE(MARKER_ETHERTYPE, 12);
    this.#marker.copy(frame, 14);
    await sendFrames(this.#namespace, this.#device, [frame]);
    await seen;
    await this.#end("SIGINT");
    const dropped = /(\d+) packets? dropped by kernel/.exec(this.#said)?.[1];
    if (dropped !== "0") throw new Error(`the capture is not complete: ${this.#said}`);
  }

  /** Ends it whatever is in it. */
  async abandon(): Promise<void> {
    if (!this.#isOver) await this.#end("SIGKILL");
  }

  /** The packets in it that pass a filter, as tcpdump prints them. Ends the recording first. */
  async packets(filter = ""): Promise<string[]> {
    await this.stop();
    const wanted = filter === "" ? "" : `(${filter}) and `;
    const args = ["-Z", "root", "-n", "-tt", "-r", this.file, `${wanted}not ether proto ${MARKER_ETHERTYPE}`];
    const { stdout } = await run("tcpdump", args, { maxBuffer: 256 * 2 ** 20 });
    // Of what it does not know it prints the octets too, on lines of their own.
    return stdout.split("\n").filter((line) => /^\d/.test(line));
  }

  /** How many pass a filter. Ends the recording first. */
  async count(filter = ""): Promise<number> {
    return (await this.packets(filter)).length;
  }

  async #first(): Promise<void> {
    const ended = once(this.#child, "close").then(() => {
      throw new Error(`tcpdump ended: ${this.#said}`);
    });
    await Promise.race([once(this.#child.stdout!, "data"), ended]);
    ended.catch(() => {});
  }

  #take(chunk: Buffer): void {
    this.#writer.write(chunk);
    this.#unread = Buffer.concat([this.#unread, chunk]);
    if (!this.#isHeadRead) {
      if (this.#unread.length < FILE_HEAD_BYTES) return;
      this.#unread = this.#unread.subarray(FILE_HEAD_BYTES);
      this.#isHeadRead = true;
    }
    for (;;) {
      if (this.#unread.length < FRAME_HEAD_BYTES) break;
      const end = FRAME_HEAD_BYTES + this.#unread.readUInt32LE(8);
      if (this.#unread.length < end) break;
      if (this.#unread.subarray(0, end).includes(this.#marker)) this.#onMarker();
      else this.#seenCount += 1;
      this.#unread = this.#unread.subarray(end);
    }
    this.#onPacket();
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    this.#isOver = true;
    const closed = once(this.#child, "close");
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      this.#child.kill(signal);
      await closed;
    }
    this.#writer.end();
    await once(this.#writer, "finish");
  }
}

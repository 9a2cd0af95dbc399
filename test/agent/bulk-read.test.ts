/** Reading into a buffer of one's own. */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { BulkRead } from "../../src/agent/egress/bulk-read.ts";

/** As Node does it: the buffer is fetched after each read, for the next. */
class Reader {
  readonly read = new BulkRead();
  #next = this.#fetch();

  get size(): number {
    return this.#next.length;
  }

  #fetch(): Uint8Array {
    const { buffer } = this.read.onread;
    return typeof buffer === "function" ? buffer() : buffer;
  }

  /** What the kernel has: as much of it as fits, or all. */
  take(bytes: Uint8Array): { readonly takenCount: number; readonly goesOn: boolean } {
    const takenCount = Math.min(bytes.length, this.#next.length);
    this.#next.set(bytes.subarray(0, takenCount));
    const goesOn = this.read.onread.callback(takenCount, this.#next);
    this.#next = this.#fetch();
    return { takenCount, goesOn };
  }
}

test("[TN3] a buffer grows while it is filled, and shrinks when little of it is used", () => {
  const reader = new Reader();
  reader.read.begin(() => ({ goesOn: true, isKept: false }));
  const sizes: number[] = [];
  for (const byteCount of [100, 1e6, 1e6, 1e6, 1e6, 1e6, 200_000, 20_000, 10_000, 100]) {
    reader.take(new Uint8Array(byteCount));
    sizes.push(reader.size / 1024);
  }
  expect(sizes).toEqual([2, 8, 32, 64, 256, 256, 256, 256, 2, 2]);
});

test("[TN3] bytes that are kept stay as they are, whatever is read after them", () => {
  fc.assert(
    fc.property(
      fc.array(fc.record({ length: fc.nat(70_000), isKept: fc.boolean(), fill: fc.nat(255) }), {
        maxLength: 30,
      }),
      fc.nat(5),
      (pieces, earlyCount) => {
        const reader = new Reader();
        const kept: { bytes: Buffer; fill: number }[] = [];
        let receivedCount = 0;
        let current = { isKept: false, fill: 0 };
        let at = 0;
        const begin = (): void =>
          reader.read.begin((bytes) => {
            receivedCount += bytes.length;
            if (current.isKept) kept.push({ bytes, fill: bytes[0] ?? 0 });
            return { goesOn: true, isKept: current.isKept };
          });
        let sentCount = 0;
        for (const piece of pieces) {
          if (at === earlyCount) begin();
          at += 1;
          current = piece;
          let left = new Uint8Array(piece.length).fill(piece.fill);
          while (left.length > 0) left = left.subarray(reader.take(left).takenCount);
          sentCount += piece.length;
        }
        if (at <= earlyCount) begin();
        expect(receivedCount).toBe(sentCount);
        for (const { bytes, fill } of kept) expect(bytes.every((byte) => byte === fill)).toBe(true);
      },
    ),
  );
});

test("[TN3] a socket reads so, stops when it is told to, and goes on", async () => {
  let far: Socket | null = null;
  const server = createServer((socket) => {
    far = socket;
    socket.write("early");
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const read = new BulkRead();
  const socket = connect({
    port: (server.address() as AddressInfo).port,
    host: "127.0.0.1",
    onread: read.onread,
  });
  BulkRead.note(socket, read);
  await once(socket, "connect");
  await new Promise((resolve) => {
    setTimeout(resolve, 50);
  });
  expect(BulkRead.of(socket)).toBe(read);
  let text = "";
  let goesOn = false;
  read.begin((bytes) => {
    text += bytes.toString();
    return { goesOn, isKept: false };
  });
  expect(text).toBe("early");
  far!.write("one");
  const until = async (isTrue: () => boolean): Promise<void> => {
    while (!isTrue()) {
      await new Promise((resolve) => {
        setImmediate(resolve);
      });
    }
  };
  await until(() => text === "earlyone");
  far!.end("two");
  await new Promise((resolve) => {
    setTimeout(resolve, 50);
  });
  expect(text).toBe("earlyone");
  goesOn = true;
  socket.resume();
  await once(socket, "end");
  expect(text).toBe("earlyonetwo");
  server.close();
});

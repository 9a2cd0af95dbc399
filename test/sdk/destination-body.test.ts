/** What of a body goes as bytes and what as a stream, whatever it is made of. */
import type { UnderlyingSource } from "node:stream/web";
import { setTimeout as delay } from "node:timers/promises";
import { expect, test } from "vitest";
import { isStream, type SentBody, settledBody } from "../../src/sdk/destination-body.ts";

const URL_OF_IT = "http://origin.example/";
const MEBIBYTE = 1_048_576;

/** A request whose body comes in these pieces, each as soon as it is asked for. */
function inPieces(pieces: readonly Uint8Array[], onCancel?: (reason: unknown) => void): Request {
  const left = [...pieces];
  return streaming({
    pull(controller) {
      const piece = left.shift();
      if (piece === undefined) controller.close();
      else controller.enqueue(piece);
    },
    cancel: onCancel ?? (() => {}),
  });
}

function streaming(source: UnderlyingSource<Uint8Array>): Request {
  const body = new ReadableStream<Uint8Array>(source, { highWaterMark: 0 });
  return new Request(URL_OF_IT, { method: "POST", body, duplex: "half" });
}

function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

async function textOf(body: unknown): Promise<string> {
  return new Response(body as SentBody).text();
}

test("[CL8] a body that can be read once is a stream; whatever can be read again is none", () => {
  async function* pieces(): AsyncGenerator<Uint8Array> {
    yield bytes("a");
  }
  expect([new ReadableStream(), pieces()].map(isStream)).toEqual([true, true]);
  const whole = ["text", "", null, undefined, new Uint8Array(3), new Blob(["a"]), new FormData()];
  expect(whole.map(isStream)).toEqual(whole.map(() => false));
});

test("[CL8] pieces that are all there are put together, in their order", async () => {
  const body = await settledBody(inPieces([bytes("one "), bytes("two "), bytes("three")]));
  expect(isStream(body)).toBe(false);
  expect(await textOf(body)).toBe("one two three");
  expect(await textOf(await settledBody(inPieces([bytes("only")])))).toBe("only");
  expect(await settledBody(inPieces([]))).toEqual(new Uint8Array(0));
  expect(await settledBody(new Request(URL_OF_IT))).toBe(null);
});

test("[CL8] eight mebibytes are gathered; one byte more is streamed, whole and in order", async () => {
  const pieces = Array.from({ length: 8 }, (_, at) => new Uint8Array(MEBIBYTE).fill(at));
  const gathered = await settledBody(inPieces(pieces));
  expect(isStream(gathered)).toBe(false);
  expect((gathered as Uint8Array).byteLength).toBe(8 * MEBIBYTE);
  const streamed = await settledBody(inPieces([...pieces, bytes("8"), bytes("9")]));
  expect(isStream(streamed)).toBe(true);
  const arrived = new Uint8Array(await new Response(streamed).arrayBuffer());
  expect(arrived.byteLength).toBe(8 * MEBIBYTE + 2);
  expect(pieces.map((_, at) => arrived[at * MEBIBYTE])).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
  expect(new TextDecoder().decode(arrived.subarray(-2))).toBe("89");
});

test("[CL8] what was there, what was awaited and what follows are streamed in this order", async () => {
  const { promise: mayGoOn, resolve: goOn } = Promise.withResolvers<void>();
  const pieces = ["one ", "two ", "three ", "four"].map(bytes);
  let count = 0;
  const body = await settledBody(
    streaming({
      async pull(controller) {
        if (count === 2) await mayGoOn;
        const piece = pieces[count];
        count += 1;
        if (piece === undefined) controller.close();
        else controller.enqueue(piece);
      },
    }),
  );
  expect(isStream(body)).toBe(true);
  goOn();
  expect(await textOf(body)).toBe("one two three four");
});

test("[CL8] a body that takes a few turns to be read is still one that is there", async () => {
  let count = 0;
  const body = await settledBody(
    streaming({
      async pull(controller) {
        count += 1;
        await delay(0);
        if (count === 4) controller.close();
        else controller.enqueue(bytes(`${count}`));
      },
    }),
  );
  expect(isStream(body)).toBe(false);
  expect(await textOf(body)).toBe("123");
});

test("[CL8] to cancel what is streamed cancels the body that it came from", async () => {
  const reasons: unknown[] = [];
  const pieces = Array.from({ length: 9 }, () => new Uint8Array(MEBIBYTE));
  const body = await settledBody(
    inPieces([...pieces, ...pieces], (reason) => {
      reasons.push(reason);
    }),
  );
  await (body as ReadableStream).cancel("enough");
  expect(reasons).toEqual(["enough"]);
});

test("[CL8] where a Request shows no body, as in some browsers, its bytes are sent all the same", async () => {
  const bodiless = (method: string, text: string): Request =>
    ({ method, body: undefined, arrayBuffer: async () => bytes(text).buffer }) as unknown as Request;
  expect(await textOf(await settledBody(bodiless("POST", "hello")))).toBe("hello");
  expect(await settledBody(bodiless("POST", ""))).toBe(null);
  // These have none, and some platforms refuse even to ask.
  expect(await settledBody(bodiless("GET", "never"))).toBe(null);
  expect(await settledBody(bodiless("HEAD", "never"))).toBe(null);
});

/** The client's end of a carried connection, over a WebSocket that does as it is told, at simulated times. */
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { CarrierEnd, type CarrierWebSocket } from "../../src/sdk/carrier-end.ts";
import { createEgress } from "../../src/sdk/egress.ts";
import { SILENCE_MS } from "../../src/wire/tcp-carrier.ts";

class StandInWebSocket implements CarrierWebSocket {
  readonly sent: unknown[] = [];
  readonly closes: number[] = [];
  #onMessage: (event: { readonly data: unknown }) => void = () => {};

  send(message: string | Uint8Array<ArrayBuffer>): void {
    this.sent.push(typeof message === "string" ? JSON.parse(message) : message.length);
  }

  close(code: number): void {
    this.closes.push(code);
  }

  addEventListener(type: string, listener: (event: never) => void): void {
    if (type === "message") this.#onMessage = listener as never;
  }

  hear(data: unknown): void {
    this.#onMessage({ data: typeof data === "object" ? JSON.stringify(data) : data });
  }
}

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

test("[RC5] [CL10] a gateway that is silent is asked, and given up when it does not answer", async () => {
  const end = new CarrierEnd();
  const webSocket = new StandInWebSocket();
  end.attach(webSocket);
  const failed = end.over.catch((fault: unknown) => fault);
  vi.advanceTimersByTime(2 * SILENCE_MS);
  expect(webSocket.sent).toEqual([{ type: "ping" }]);
  webSocket.hear({ type: "pong" });
  vi.advanceTimersByTime(2 * SILENCE_MS);
  expect(webSocket.sent).toEqual([{ type: "ping" }, { type: "ping" }]);
  webSocket.hear({ type: "ping" });
  expect(webSocket.sent.at(-1)).toEqual({ type: "pong" });
  vi.advanceTimersByTime(3 * SILENCE_MS);
  expect(webSocket.closes).toEqual([]);
  vi.advanceTimersByTime(SILENCE_MS);
  expect(await failed).toMatchObject({ code: "carrier-lost" });
  expect(webSocket.closes).toEqual([4400]);
  expect(vi.getTimerCount()).toBe(0);
});

test("[CL10] what is closed before it is there is closed as soon as it is", async () => {
  const end = new CarrierEnd();
  end.close();
  await end.over;
  const webSocket = new StandInWebSocket();
  end.attach(webSocket);
  expect(webSocket.closes).toEqual([4500]);
  await expect(end.send(new Uint8Array(1))).rejects.toThrow(TypeError);
  expect(await end.receive({})).toBe(null);
  expect(vi.getTimerCount()).toBe(0);
});

test("[CL11] where fetch gives no WebSocket, connect says what is needed", async () => {
  const egress = createEgress({ endpoint: "https://edge.test", token: "t" });
  await expect(egress.connect("db.example.com:5432").opened).rejects.toThrow(/open-websocket/);
});

/** A connection that does not open: the page says why, as the edge tells it when it is asked. */
import { afterAll, beforeEach, expect, test, vi } from "vitest";
import { LiveSocket } from "../../src/dashboard/live/live-socket.ts";

/** What the browser has in its place; the test opens and closes it. */
class MadeSocket extends EventTarget {
  static readonly OPEN = 1;
  static all: MadeSocket[] = [];
  readonly readyState = MadeSocket.OPEN;
  readonly bufferedAmount = 0;

  constructor() {
    super();
    MadeSocket.all.push(this);
  }

  send(): void {}
  close(): void {}

  fails(code = 1006, reason = ""): void {
    this.dispatchEvent(Object.assign(new Event("close"), { code, reason }));
  }

  tells(message: object): void {
    this.dispatchEvent(new Event("open"));
    this.dispatchEvent(Object.assign(new Event("message"), { data: JSON.stringify(message) }));
  }
}

beforeEach(() => {
  MadeSocket.all = [];
  vi.useFakeTimers();
  vi.stubGlobal("WebSocket", MadeSocket);
  vi.stubGlobal("addEventListener", () => {});
  vi.stubGlobal("document", new EventTarget());
});

afterAll(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

function opened(whyUnopened: () => Promise<string>): {
  readonly said: string[];
  readonly socket: LiveSocket;
} {
  const said: string[] = [];
  const socket = new LiveSocket("/dashboard/live/pools/eu", {
    heard: () => {},
    stood: (state, why) => said.push(`${state} ${why}`.trim()),
    ended: (reason) => said.push(`ended ${reason}`),
    whyUnopened,
  });
  return { said, socket };
}

test("[PG18] what is not permitted is named, tried again, and forgotten when it opens", async () => {
  let why = "pool-denied";
  const { said, socket } = opened(async () => why);
  MadeSocket.all[0]!.fails();
  await vi.advanceTimersByTimeAsync(1000);
  MadeSocket.all[1]!.fails();
  await vi.advanceTimersByTimeAsync(2000);
  expect(said).toEqual(["lost", "lost pool-denied", "lost pool-denied"]);
  MadeSocket.all[2]!.tells({ type: "pool" });
  why = "";
  MadeSocket.all[2]!.fails();
  expect(said.slice(3)).toEqual(["live", "lost"]);
  socket.close();
});

test("[PG18] where the edge does not answer the connection is only lost, and a late answer says nothing", async () => {
  const answer = Promise.withResolvers<string>();
  const { said, socket } = opened(() => answer.promise);
  MadeSocket.all[0]!.fails();
  await vi.advanceTimersByTimeAsync(1000);
  MadeSocket.all[1]!.tells({ type: "pool" });
  answer.resolve("pool-unknown");
  await vi.advanceTimersByTimeAsync(0);
  expect(said).toEqual(["lost", "live"]);
  socket.close();
});

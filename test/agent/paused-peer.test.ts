/** A peer that is not read: what is done so that its end is met, and what it costs. */
import { Duplex } from "node:stream";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { PausedPeer } from "../../src/agent/traffic/clients/paused-peer.ts";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

/** A socket that takes what is written, or nothing ever. */
function socketThat(takes: boolean): { socket: Duplex; writes: () => number } {
  let count = 0;
  const socket = new Duplex({
    read: () => {},
    write: (_chunk, _encoding, done) => {
      if (takes) done();
    },
  });
  const write = socket.write.bind(socket);
  socket.write = ((chunk: string) => {
    count += 1;
    return write(chunk);
  }) as typeof socket.write;
  return { socket, writes: () => count };
}

test("[GW20] it is looked for while it is paused, and no longer", () => {
  const { socket, writes } = socketThat(true);
  const peer = new PausedPeer(socket);
  peer.paused();
  vi.advanceTimersByTime(5_000);
  expect(writes()).toBe(5);
  peer.resumed();
  vi.advanceTimersByTime(5_000);
  expect([writes(), vi.getTimerCount(), socket.listenerCount("close")]).toEqual([5, 0, 0]);
});

test("[TN3] nothing piles up behind what a peer does not take", () => {
  const { socket, writes } = socketThat(false);
  socket.write("not taken");
  const peer = new PausedPeer(socket);
  peer.paused();
  vi.advanceTimersByTime(7_440_000);
  expect(writes()).toBe(1);
  socket.destroy();
  peer.resumed();
  expect(vi.getTimerCount()).toBe(0);
});

/** Which request counts as the one that has waited longest, on connections that say what has come. */
import type { Socket } from "node:net";
import { expect, test } from "vitest";
import { AnswerWaits } from "../../src/agent/traffic/origins/answer-waits.ts";

function connection(port: number) {
  return { bytesRead: 0, remoteAddress: "192.0.2.1", remotePort: port };
}

function begin(waits: AnswerWaits, one: ReturnType<typeof connection>): void {
  waits.began(one as unknown as Socket);
}

test("[UP1] the longest wait is that of the first request, until it ends", () => {
  const waits = new AnswerWaits();
  const [first, second] = [connection(1), connection(2)];
  begin(waits, first);
  begin(waits, second);
  expect(waits.oldest()?.place).toEqual({ ip: "192.0.2.1", port: 1 });
  waits.ended(first as unknown as Socket);
  expect(waits.oldest()?.place).toEqual({ ip: "192.0.2.1", port: 2 });
});

test("[UP1] a request joins others on a connection: the wait is theirs, and its own once something came of them", () => {
  const waits = new AnswerWaits();
  const shared = connection(1);
  begin(waits, shared);
  const { sinceMs } = waits.oldest()!;
  begin(waits, shared);
  expect(waits.oldest()!.sinceMs).toBe(sinceMs);
  shared.bytesRead = 10;
  begin(waits, shared);
  expect(waits.oldest()!.sinceMs).toBeGreaterThan(sinceMs);
  shared.bytesRead = 20;
  expect(waits.oldest()).toBeNull();
});

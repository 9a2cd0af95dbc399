/** A run goes on only when nothing is left to do: neither sooner nor in what is still under way. */
import { expect, test } from "vitest";
import { Settling } from "./settling.ts";

test("whoever waits goes on after all that follows from promises, however long", async () => {
  const settling = new Settling();
  // More often than there are immediates at a time.
  for (let round = 0; round < 250; round += 1) {
    let stepCount = 0;
    const work = async (): Promise<void> => {
      for (let step = 0; step < round; step += 1) {
        await Promise.resolve();
        stepCount += 1;
      }
      process.nextTick(() => queueMicrotask(() => (stepCount += 1)));
    };
    void work();
    await settling.wait();
    expect(stepCount).toBe(round + 1);
  }
});

/**
 * Keeps the agent small while it streams.
 *
 * What is streamed is garbage at once: buffers of 64 KiB that live outside the heap until V8
 * next clears its young generation. Left alone that generation grows to 16 MiB and more, and
 * hundreds of dead buffers wait for it; kept at its first size they never amount to much.
 */
import { setFlagsFromString } from "node:v8";

/** Stops the young generation from growing. To be called once, before there is work. */
export function keepYoungHeapSmall(): void {
  setFlagsFromString("--semi-space-growth-factor=1");
}

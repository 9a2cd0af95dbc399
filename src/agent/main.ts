/** `node src/agent/main.ts`: one agent. `ipshard agent` starts it with less memory still. */
import { keepYoungHeapSmall } from "./young-heap.ts";

keepYoungHeapSmall();
// Not imported before: to load it is what would make the young generation grow.
await import("./agent-process.ts");

/** Waits for a drain, and says on standard error how far it has come. */
import { setTimeout as delay } from "node:timers/promises";
import { drainText, type PoolHost } from "./pool-text.ts";

/** How far something has come; null when it does not drain. */
export type Progress = PoolHost["drain"];

const EVERY_MS = 1_000;

/**
 * Asks until it is drained, or no longer drains since somebody resumed it. On a terminal one line is written over,
 * elsewhere there is one for each change. To stop waiting stops nothing else. Answers what was told last.
 */
export async function watchDrain(
  what: string,
  ask: () => Promise<Progress>,
  stream: NodeJS.WriteStream = process.stderr,
): Promise<Progress> {
  let said = "";
  try {
    for (;;) {
      const progress = await ask();
      const text = progress === null ? "drains no more: it was resumed" : drainText(progress);
      if (text !== said) stream.write(stream.isTTY ? `\r\u001b[K${what}: ${text}` : `${what}: ${text}\n`);
      said = text;
      if (progress === null || progress.state === "drained") return progress;
      await delay(EVERY_MS);
    }
  } finally {
    if (stream.isTTY) stream.write("\n");
  }
}

/**
 * Programs that make of sources what is served: esbuild and Vite. Each runs in a process group of its own. It, or a
 * service that it starts, would get the Ctrl-C that is meant for this process, and end halfway.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";

/** What came of one. */
export interface Bundled {
  readonly isDone: boolean;
  readonly said: string;
  readonly complaints: string;
}

/** Runs one to its end. */
export async function runBundler(command: string, args: readonly string[]): Promise<Bundled> {
  const child = spawn(command, args, { detached: true, stdio: ["ignore", "pipe", "pipe"] });
  const [said, complaints, [code]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, "close"),
  ]);
  return { isDone: code === 0, said, complaints };
}

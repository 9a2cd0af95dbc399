/** Our translation as one way among others: its classes run in a process of their own, on the host. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface, type Interface } from "node:readline";
import type { Translation } from "./translations.ts";

const PROGRAM = join(import.meta.dirname, "translator-process.ts");

/** Ours, with the guard behind it. */
export function ours(): Translation {
  let running: { readonly child: ChildProcess; readonly lines: Interface } | null = null;
  const ask = async (line: string): Promise<void> => {
    assert(running !== null, "it is told its units first");
    const answer = once(running.lines, "line") as Promise<[string]>;
    running.child.stdin!.write(`${line}\n`);
    assert.equal((await answer)[0], "ok");
  };
  return {
    name: "ours",
    use: async (namespace, units) => {
      running ??= await start(namespace);
      await ask(`use ${units.join(",")}`);
    },
    settle: () => ask("look"),
    close: async () => {
      if (running === null) return;
      const ended = once(running.child, "exit");
      running.child.kill("SIGKILL");
      await ended;
    },
  };
}

async function start(namespace: string): Promise<{ child: ChildProcess; lines: Interface }> {
  const child = spawn("ip", ["netns", "exec", namespace, process.execPath, PROGRAM], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const lines = createInterface({ input: child.stdout });
  const [said] = (await once(lines, "line")) as [string];
  assert.equal(said, "ready");
  return { child, lines };
}

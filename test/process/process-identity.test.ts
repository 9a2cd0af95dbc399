/** When a process counts as gone: what comes next may need what it listened on. */
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { expect, test, vi } from "vitest";
import { viewProcess } from "../../src/process/process-identity.ts";

/** Its first thread ends, and another one stays. */
const HEADLESS = `
import ctypes, threading, time
threading.Thread(target=time.sleep, args=(60,)).start()
ctypes.CDLL(None).pthread_exit(None)
`;

test("[MP6] a process whose first thread has ended runs until its last one has", async () => {
  const child = spawn("python3", ["-c", HEADLESS], { stdio: "ignore" });
  const pid = child.pid!;
  const stateOf = (): string => readFileSync(`/proc/${pid}/stat`, "latin1").split(") ")[1]![0]!;
  await vi.waitUntil(() => stateOf() === "Z", { timeout: 10_000, interval: 10 });
  expect(viewProcess(pid)).toMatchObject({ pid, parentPid: process.pid });
  const ended = new Promise((resolve) => {
    child.once("exit", resolve);
  });
  child.kill("SIGKILL");
  await ended;
  expect(viewProcess(pid)).toBeNull();
});

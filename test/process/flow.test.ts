/** Faults that nobody catches, in a process of their own: which end a flow, and which the process. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { expect, it } from "vitest";
import { Flow } from "../../src/process/flow.ts";

const PROCESS = join(import.meta.dirname, "../../src/process");

/** Runs a program with `flow`, `ended` and `reported`; says how it exited and what was ended and reported. */
async function run(program: string): Promise<{ code: number | null; said: string }> {
  const source = `
    import { openLog } from ${JSON.stringify(join(PROCESS, "process-life.ts"))};
    import { Flow } from ${JSON.stringify(join(PROCESS, "flow.ts"))};
    import { systemTimers } from ${JSON.stringify(join(PROCESS, "timers.ts"))};
    import { EventEmitter } from "node:events";
    openLog({ host: "h1" });
    const flow = new Flow((fault) => console.log("ended", fault.message), (fault) => console.log("reported", fault.message));
    ${program}
    setTimeout(() => console.log("alive"), 50);
  `;
  const child = spawn(process.execPath, ["--input-type=module", "--eval", source], {
    stdio: ["ignore", "pipe", "ignore"],
  });
  let said = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (said += text));
  const [code] = (await once(child, "close")) as [number | null];
  return { code, said };
}

it.each([
  ["at once", 'flow.run(() => { throw new Error("x"); });'],
  ["in a promise", 'flow.begin(async () => { await 1; throw new Error("x"); });'],
  [
    "in a promise that nobody has",
    'flow.run(() => { void (async () => { await 1; throw new Error("x"); })(); });',
  ],
  ["in a timer", 'flow.run(() => setTimeout(() => { throw new Error("x"); }, 1));'],
  ["in a microtask", 'flow.run(() => queueMicrotask(() => { throw new Error("x"); }));'],
  [
    "in a listener",
    'const emitter = new EventEmitter(); emitter.on("it", flow.guard(() => { throw new Error("x"); })); setTimeout(() => emitter.emit("it"), 1);',
  ],
  [
    "as an error without a listener",
    'flow.run(() => setImmediate(() => new EventEmitter().emit("error", new Error("x"))));',
  ],
])("[GW11] what is thrown %s ends the flow, and not the process", async (_name, program) => {
  expect(await run(program)).toEqual({ code: 0, said: "ended x\nalive\n" });
});

it("[GW11] what is thrown in no flow ends the process", async () => {
  expect(await run('setTimeout(() => { throw new Error("x"); }, 1);')).toEqual({ code: 1, said: "" });
});

it("[GW11] what a flow sets off for others is not part of it", async () => {
  const program = 'flow.run(() => systemTimers.after(1, () => { throw new Error("x"); }));';
  expect(await run(program)).toEqual({ code: 1, said: "" });
});

it("[GW11] a flow ends once; what comes after, and what its end throws, is reported", () => {
  const ended: unknown[] = [];
  const reported: unknown[] = [];
  const flow = new Flow(
    (fault) => {
      ended.push(fault);
      throw new Error("the end fails");
    },
    (fault) => reported.push(fault),
  );
  flow.run(() => {
    throw new Error("first");
  });
  flow.run(() => {
    throw new Error("second");
  });
  expect(ended).toEqual([new Error("first")]);
  expect(reported).toEqual([new Error("the end fails"), new Error("second")]);
});

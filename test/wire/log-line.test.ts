import { pino } from "pino";
import { expect, test } from "vitest";
import { logLine } from "../../src/wire/log-line.ts";

test.each(["info", "warn", "error"] as const)(
  "[MT12] a line of the edge has the shape that pino gives those of hosts: %s",
  (level) => {
    const lines: string[] = [];
    const log = pino({ base: {} }, { write: (line: string) => void lines.push(line) });
    const fault = new TypeError("of no type");
    log[level]({ requestId: "r-1", pool: "eu", err: fault }, "it went wrong");
    const ofHost = JSON.parse(lines[0]!) as { time: number };
    const ofEdge = JSON.parse(
      logLine(level, "it went wrong", { requestId: "r-1", pool: "eu" }, ofHost.time, fault),
    ) as unknown;
    expect(ofEdge).toEqual(ofHost);
  },
);

test("[MT12] what is thrown may be anything, and what is not known is not said", () => {
  expect(JSON.parse(logLine("warn", "odd", { pool: undefined }, 7, "a word"))).toEqual({
    level: 40,
    time: 7,
    err: { type: "string", message: "a word" },
    msg: "odd",
  });
  expect(JSON.parse(logLine("info", "plain", {}, 7))).toEqual({ level: 30, time: 7, msg: "plain" });
});

/** A short run of the inputs that `npm run fuzz -- parsers` fires for as long as one likes, and a proof that it finds things. */
import { expect, test } from "vitest";
import { seed } from "./parsers/parser.ts";
import { allParsers, closeParsers, runParsers } from "./parsers/run-parsers.ts";

const COUNT = 200_000;

test("[GW1] [GW21] no parser that a stranger reaches throws, halts, grows or breaks its word", async () => {
  const parsers = await allParsers();
  const { inputCount, inputCounts, findings } = await runParsers(parsers, 20_261_129, COUNT);
  await closeParsers(parsers);
  expect(findings).toEqual([]);
  expect(inputCount).toBeGreaterThan(COUNT * 0.99);
  // Each had its share, those that wait for sockets too.
  expect(Math.min(...Object.values(inputCounts))).toBeGreaterThanOrEqual(5);
}, 300_000);

test("a parser that throws, one that takes seconds and one that keeps what it reads are found", async () => {
  const kept: number[][] = [];
  let slow: Buffer | null = null;
  const planted = { seeds: [seed("ab")], words: ["xy"], weight: 1 };
  const { findings } = await runParsers(
    [
      {
        ...planted,
        name: "throws",
        read: (input) => {
          if (input.includes("xyab")) throw new TypeError("at xyab");
          return "ok";
        },
      },
      {
        ...planted,
        name: "halts",
        read: (input) => {
          if (slow === null && input.includes("xyxyab")) slow = Buffer.from(input);
          if (slow === null || !input.equals(slow)) return "ok";
          // Of the processor, which others may have for most of the time.
          const { user } = process.cpuUsage();
          while (process.cpuUsage().user < user + 2_500_000) for (let turn = 0; turn < 1e7; turn += 1);
          return "ok";
        },
      },
      {
        ...planted,
        name: "keeps",
        read: (input) => {
          kept.push(Array.from({ length: 2_500 }, () => input.length + 0.5));
          return "ok";
        },
      },
    ],
    1,
    9_000,
  );
  const found = new Set(findings.map((finding) => finding.split(" ")[0]));
  expect(found).toEqual(new Set(["throws", "halts", "memory"]));
}, 120_000);

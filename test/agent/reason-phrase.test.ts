/** Which reason phrases of strangers may be written. */
import { expect, test } from "vitest";
import { writablePhrase } from "../../src/agent/traffic/http/reason-phrase.ts";

test.each(["OK", "", "a\tb", " ", "~", "caf\u{e9}", "\u{80}\u{ff}"])("[OR21] %j may", (phrase) => {
  expect(writablePhrase(phrase)).toBe(phrase);
});

test.each(["a\nb", "a\rb", "\u{0}", "\u{8}", "\u{1f}", "\u{7f}", "\u{100}", "OK\u{1}"])(
  "[OR21] %j may not",
  (phrase) => {
    expect(writablePhrase(phrase)).toBeNull();
  },
);

test("[OR21] nor one that nobody said", () => {
  expect(writablePhrase(null)).toBeNull();
  expect(writablePhrase(undefined)).toBeNull();
});

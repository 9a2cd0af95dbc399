/** A bug that no longer fits the code would be hunted for minutes before anybody is told so. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { FAULTS } from "../simulation/faults.ts";
import { PLANTED_BUGS, withBug } from "../simulation/planted-bugs.ts";

const ROOT = join(import.meta.dirname, "../..");

test("every fault that shows a planted bug exists", () => {
  const named = PLANTED_BUGS.flatMap(({ shownBy = [] }) => shownBy);
  expect(named.filter((name) => !Object.hasOwn(FAULTS, name))).toEqual([]);
});

test.each(PLANTED_BUGS)("$name still fits its source", (bug) => {
  const text = readFileSync(join(ROOT, bug.file), "utf8");
  expect(withBug(bug, text)).not.toBe(text);
  expect(() => withBug(bug, "")).toThrow("cannot be planted");
  expect(() => withBug(bug, text + text)).toThrow("cannot be planted");
});

/** What `npm run test:quick` takes for the tests that a change may break. */
import { expect, test } from "vitest";
import { testsAffectedBy } from "../runner/affected.ts";

test("the tests of a changed file come first, and those that import it from afar come too", async () => {
  const distances = await testsAffectedBy(["src/core/share.ts"]);
  const files = [...distances.keys()];
  expect(distances.get("test/core/share.test.ts")).toBe(1);
  expect(files.indexOf("test/core/share.test.ts")).toBeLessThan(files.indexOf("test/worker/routes.test.ts"));
  expect([...distances.values()]).toEqual([...distances.values()].toSorted((a, b) => a - b));
});

test("tests that bear the name of the changed file come first, however many files are between", async () => {
  const first = async (file: string): Promise<string[]> => {
    const distances = await testsAffectedBy([file]);
    return [...distances].filter(([, distance]) => distance <= 1).map(([name]) => name);
  };
  expect(await first("src/agent/traffic/tunnel/tunnel-relay.ts")).toContain("test/agent/tunnels.test.ts");
  expect(await first("src/agent/request-spans.ts")).toContain("test/agent/flow-spans.test.ts");
  expect(await first("src/agent/traffic/tunnel/tunnel-relay.ts")).not.toContain("test/agent/socks.test.ts");
});

test("tests that start a changed program by its name are among them, though they import nothing of it", async () => {
  expect((await testsAffectedBy(["src/cli/verbs/start.ts"])).has("test/cli/start.test.ts")).toBe(true);
});

test("of a document the tests of the repository are told, and a changed test is its own", async () => {
  expect((await testsAffectedBy(["docs/SPEC.md"])).has("test/repo/titles.test.ts")).toBe(true);
  expect((await testsAffectedBy(["test/wire/tokens.test.ts"])).get("test/wire/tokens.test.ts")).toBe(0);
});

/** The token of an operator's verbs: that it nears its end is said beside the answer. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { operatorFor } from "../../src/cli/credentials/operator.ts";

const DAY_S = 86_400;
let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "ipshard-operator-"));
});
afterEach(async () => {
  vi.restoreAllMocks();
  await rm(directory, { recursive: true });
});

/** What is said on standard error when a verb takes a token of these times, in seconds from now. */
async function saidOf(madeS: number, endsS: number): Promise<string> {
  const nowS = Math.floor(Date.now() / 1_000);
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  const tokenFile = join(directory, "admin.token");
  await writeFile(tokenFile, `${part({ alg: "EdDSA" })}.${part({ iat: nowS + madeS, exp: nowS + endsS })}.x`);
  let said = "";
  vi.spyOn(process.stderr, "write").mockImplementation((text) => {
    said += String(text);
    return true;
  });
  const words = { edge: "http://127.0.0.1:1", tokenFile, state: directory };
  await operatorFor(words, { XDG_CONFIG_HOME: directory });
  vi.restoreAllMocks();
  return said;
}

test("[OV10] a token that nears its end is said, one that lasts or has ended is not", async () => {
  expect(await saidOf(-30 * DAY_S, 2 * DAY_S)).toMatch(
    /^The token ends at \d{4}-\d\d-\d\dT\S+Z: make another \(ipshard token\), or log in anew\.\n$/,
  );
  expect(await saidOf(-30 * DAY_S, 4 * DAY_S)).toBe("");
  expect(await saidOf(0, 300)).toBe("");
  expect(await saidOf(-290, 10)).toMatch(/^The token ends at /);
  expect(await saidOf(-30 * DAY_S, -1)).toBe("");
});

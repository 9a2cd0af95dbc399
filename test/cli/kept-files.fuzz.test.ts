/** Files of a state directory and of the project, as somebody else may have left them. */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { readKey } from "../../src/cli/credentials/key-files.ts";
import { RunRecords } from "../../src/cli/supervision/run-records.ts";
import { StatePaths } from "../../src/cli/state-paths.ts";
import { ensureToken } from "../../src/cli/credentials/token-files.ts";
import { parseWranglerConfig } from "../../src/cli/edge/wrangler-config.ts";
import { CommandFault } from "../../src/process/command-fault.ts";
import { generateKey, publicPart } from "../../src/wire/keys.ts";
import { TokenVerifier } from "../../src/wire/tokens.ts";
import { garbage, mutationsOf } from "../wire/mutations.ts";
import { temporaryDirectory } from "./processes.ts";

/** Whatever it throws has to have this name. */
async function named<Result>(code: string, what: () => Result | Promise<Result>): Promise<Result | null> {
  try {
    return await what();
  } catch (fault) {
    expect(fault).toBeInstanceOf(CommandFault);
    expect(fault).toMatchObject({ code });
    return null;
  }
}

test("[CI2] a key file is a key of its kind, or is refused by name", async () => {
  const state = new StatePaths(await temporaryDirectory());
  const file = state.keyFile("issuer");
  await mkdir(dirname(file), { recursive: true });
  const key = await generateKey("issuer");
  await fc.assert(
    fc.asyncProperty(fc.oneof(mutationsOf(fc.constant(key)), garbage), async (text) => {
      await writeFile(file, text);
      const read = await named("key-malformed", () => readKey(state, "issuer"));
      if (read !== null) expect(read).toMatchObject({ kid: expect.stringMatching(/^issuer:/) });
    }),
    { numRuns: 300 },
  );
  await writeFile(file, '{"d":"x","kid":5}');
  expect(await named("key-malformed", () => readKey(state, "issuer"))).toBeNull();
});

test("[CI10] a kept token that is none is replaced by one that is", async () => {
  const state = new StatePaths(await temporaryDirectory());
  const file = state.tokenFile("app");
  await mkdir(dirname(file), { recursive: true });
  const issuer = await generateKey("issuer");
  const nowMs = Date.now();
  await fc.assert(
    fc.asyncProperty(garbage, async (text) => {
      await writeFile(file, text);
      const wanted = { role: "client", name: "app", pools: ["eu"] } as const;
      const { token } = await ensureToken(state, wanted, issuer, nowMs);
      expect(await new TokenVerifier({ keys: [publicPart(issuer)] }).verify(token, nowMs)).toMatchObject({
        ok: true,
      });
      expect((await readFile(file, "utf8")).trim()).toBe(token);
    }),
    { numRuns: 40 },
  );
});

test("[CI6] a record that cannot be read is passed over, and others are still found", async () => {
  const directory = await temporaryDirectory();
  const records = new RunRecords(directory);
  records.add("self", process.pid, "node");
  const [self] = records.list();
  await fc.assert(
    fc.asyncProperty(fc.oneof(mutationsOf(fc.constant(self)), garbage), async (text) => {
      await writeFile(join(directory, "other.json"), text);
      const listed = records.list();
      expect(listed).toContainEqual(self);
      for (const { pid } of listed) expect(Number.isSafeInteger(pid) && pid > 0).toBe(true);
    }),
    { numRuns: 300 },
  );
});

test("[CI4] a declaration of the edge is read, or refused by name", async () => {
  const toml = await readFile(join(import.meta.dirname, "../../wrangler.toml"), "utf8");
  const lines = toml.split("\n");
  const line = fc.oneof(
    fc.constantFrom(...lines),
    fc.constantFrom("[a]", "[[a]]", "a.b = 1", "__proto__ = 1", "[__proto__]", 'x = "\\ud800"', "x = nan"),
    garbage,
  );
  const places = fc.array(fc.tuple(fc.nat(lines.length - 1), line), { minLength: 1, maxLength: 3 });
  let readCount = 0;
  await fc.assert(
    fc.asyncProperty(places, async (changes) => {
      const text = lines.map((old, at) => changes.find(([place]) => place === at)?.[1] ?? old).join("\n");
      const declaration = await named("edge-config-invalid", () => parseWranglerConfig(text));
      if (declaration === null) return;
      readCount += 1;
      expect(declaration.objects.length).toBeGreaterThanOrEqual(0);
    }),
    { numRuns: 1_500 },
  );
  expect(readCount).toBeGreaterThan(5);
});

/** What a host reads that it did not just write: its own files after a bad day, and an edge's refusals. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as fc from "fast-check";
import { afterEach, beforeEach, expect, test } from "vitest";
import { CommandFault } from "../../src/process/command-fault.ts";
import { parseKeySet } from "../../src/link/published-keys.ts";
import { adviceOn, codeOfProblem } from "../../src/link/edge-refusals.ts";
import { StateDirectory } from "../../src/link/state-directory.ts";
import { kindOf } from "../../src/wire/keys.ts";
import { garbage, mutationsOf } from "../wire/mutations.ts";

let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "ipshard-kept-"));
});

afterEach(async () => {
  await rm(directory, { recursive: true, force: true });
});

const key = fc.record({ kty: fc.constant("OKP"), kid: fc.constantFrom("issuer:a", "edge:b", "other:c") });
const keySet = fc.record({ keys: fc.array(key, { maxLength: 3 }) });
const epochs = fc.dictionary(fc.ipV4(), fc.nat());
const machine = fc.dictionary(fc.constantFrom("other-id", "__proto__"), fc.string());
const files: fc.Arbitrary<readonly [string, string]> = fc.oneof(
  fc.tuple(fc.constant("epochs.json"), fc.oneof(mutationsOf(epochs), garbage)),
  fc.tuple(fc.constant("edge-keys.json"), fc.oneof(mutationsOf(keySet), garbage)),
  fc.tuple(fc.constant("machine.json"), fc.oneof(mutationsOf(machine), garbage)),
  fc.tuple(fc.constant("instance"), fc.oneof(fc.stringMatching(/^[\w-]{14,20}\n?$/), garbage)),
);

test("[SD1] a state directory with anything in its files opens, or is refused by name", async () => {
  let openCount = 0;
  await fc.assert(
    fc.asyncProperty(files, async ([file, text]) => {
      await writeFile(join(directory, file), text);
      try {
        const state = await StateDirectory.open(directory, () => {});
        openCount += 1;
        expect(state.instance).toMatch(/^[\w-]{16,128}$/);
        for (const ip of ["192.0.2.1", "__proto__", "constructor"]) {
          expect(Number.isSafeInteger(state.highestEpoch(ip))).toBe(true);
        }
        for (const { kid } of state.keptKeys?.keys ?? []) expect(kindOf(kid)).not.toBeNull();
        await state.close();
      } catch (fault) {
        expect(fault).toBeInstanceOf(CommandFault);
        expect(fault).toMatchObject({ code: "state-unusable" });
      } finally {
        await rm(join(directory, file), { force: true });
      }
    }),
    { numRuns: 150 },
  );
  expect(openCount).toBeGreaterThan(5);
});

test("[EL4] what is no key set is none, and of a key set only keys of ours are believed", () => {
  fc.assert(
    fc.property(fc.oneof(mutationsOf(keySet), garbage), (text) => {
      let json: unknown;
      try {
        json = JSON.parse(text);
      } catch {
        return;
      }
      const keys = parseKeySet(json);
      if (keys === null) return;
      for (const { kid } of keys.keys) expect(kindOf(kid)).not.toBeNull();
      expect(parseKeySet(keys)).toEqual(keys);
    }),
    { numRuns: 500 },
  );
});

test("[EL2] whatever an edge refuses with, there is a sentence about it", () => {
  const problem = fc.record({
    code: fc.constantFrom("no-host", "__proto__", "toString"),
    detail: fc.string(),
  });
  fc.assert(
    fc.property(fc.oneof(mutationsOf(problem), garbage), (body) => {
      const code = codeOfProblem(body);
      if (code !== null) expect(typeof adviceOn(code)).toBe("string");
    }),
    { numRuns: 500 },
  );
  // What objects inherit is no advice.
  for (const code of ["constructor", "toString", "__proto__"]) expect(adviceOn(code)).toContain(code);
});

/** What an agent wrote down of its machine, after a loss of power or a careless hand. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as fc from "fast-check";
import { expect, onTestFinished, test } from "vitest";
import { HostSetup } from "../../src/agent/machine/host-setup.ts";
import { garbage, mutationsOf } from "../wire/mutations.ts";

test("[HS2] a record that cannot be read is of nothing that is left to undo", async () => {
  const directory = await mkdtemp(join(tmpdir(), "ipshard-setup-"));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  const file = join(directory, "host-setup.json");
  const bootId = (await readFile("/proc/sys/kernel/random/boot_id", "utf8")).trim();
  // Nothing in it would be undone: the test touches no setting and no address of the machine.
  const deeds = fc.record({
    bootId: fc.constantFrom(bootId, ""),
    addresses: fc.constant([]),
    settings: fc.constant([]),
  });
  await fc.assert(
    fc.asyncProperty(fc.oneof(mutationsOf(deeds), garbage), async (text) => {
      await writeFile(file, text);
      expect(await HostSetup.open(file)).toBeInstanceOf(HostSetup);
    }),
    { numRuns: 200 },
  );
});

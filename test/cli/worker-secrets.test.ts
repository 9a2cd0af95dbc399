import { chmod, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { readKey } from "../../src/cli/credentials/key-files.ts";
import { secretsCommand } from "../../src/cli/credentials/secrets-command.ts";
import { parseWranglerConfig } from "../../src/cli/edge/wrangler-config.ts";
import { StatePaths } from "../../src/cli/state-paths.ts";
import { publicPart } from "../../src/wire/keys.ts";
import { temporaryDirectory } from "./processes.ts";

const WRANGLER_TOML = join(import.meta.dirname, "../../wrangler.toml");

test("[DP1] the secrets are those that wrangler.toml requires, of keys that are made for them", async () => {
  const state = await temporaryDirectory();
  const printed: string[] = [];
  const command = secretsCommand(async (result) => void printed.push(result));
  await command.parseAsync(["--state", state], { from: "user" });
  const secrets = JSON.parse(printed.join("\n"));
  const { secretNames } = parseWranglerConfig(await readFile(WRANGLER_TOML, "utf8"));
  expect(Object.keys(secrets).toSorted()).toEqual(secretNames.toSorted());
  const paths = new StatePaths(state);
  expect(JSON.parse(secrets.EDGE_KEY)).toEqual(await readKey(paths, "edge"));
  expect(JSON.parse(secrets.ISSUER_KEYS)).toEqual({ keys: [publicPart(await readKey(paths, "issuer"))] });
});

test("[DP1] a file of secrets is its owner's alone, also where others could read what was there", async () => {
  const state = await temporaryDirectory();
  const file = join(state, "secrets");
  await writeFile(file, "public");
  await chmod(file, 0o644);
  const printed: string[] = [];
  const command = secretsCommand(async (result) => void printed.push(result));
  await command.parseAsync(["--state", state, "--file", file], { from: "user" });
  expect(printed).toEqual([]);
  expect((await stat(file)).mode & 0o777).toBe(0o600);
  expect(Object.keys(JSON.parse(await readFile(file, "utf8")))).toEqual(["ISSUER_KEYS", "EDGE_KEY"]);
  const slip = join(state, "sectres", "secrets");
  const refused = command.parseAsync(["--state", state, "--file", slip], { from: "user" });
  await expect(refused).rejects.toMatchObject({
    code: "option-invalid",
    message: expect.stringContaining(`there is no directory ${join(state, "sectres")}. Make it first`),
  });
  await expect(stat(join(state, "sectres"))).rejects.toThrow("ENOENT");
});

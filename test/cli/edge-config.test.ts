import { mkdir, readFile, stat } from "node:fs/promises";
import { expect, test } from "vitest";
import { ensureKeys } from "../../src/cli/credentials/key-files.ts";
import { prepareEdge } from "../../src/cli/edge/edge-process.ts";
import { workerdConfig } from "../../src/cli/edge/workerd-config.ts";
import { parseWranglerConfig } from "../../src/cli/edge/wrangler-config.ts";
import { StatePaths } from "../../src/cli/state-paths.ts";
import { temporaryDirectory } from "./processes.ts";

const text = await readFile(new URL("../../wrangler.toml", import.meta.url), "utf8");
const place = {
  host: "127.0.0.1",
  port: 8787,
  storage: '/state/with "quotes" \\ and such',
  assets: "/page/of it",
  tunnels: "127.0.0.1:9",
};

test("[CI4] what wrangler.toml declares is read, whatever it is called", () => {
  expect(parseWranglerConfig(text)).toEqual({
    name: "ipshard",
    main: "src/worker/index.ts",
    compatibilityDate: expect.stringMatching(/^2026-/),
    compatibilityFlags: [],
    objects: [
      { binding: "EGRESS_IP", className: "EgressIp" },
      { binding: "EGRESS_POOL", className: "EgressPool" },
      { binding: "POOL_CATALOGUE", className: "PoolCatalogue" },
      { binding: "ACCESS_REGISTER", className: "AccessRegister" },
    ],
    assets: { binding: "DASHBOARD", directory: "./dist/dashboard" },
    vars: { RESTORATION: "" },
    secretNames: ["ISSUER_KEYS", "EDGE_KEY"],
  });
  const renamed = parseWranglerConfig(text.replaceAll("PoolCatalogue", "PoolList"));
  expect(renamed.objects[2]).toEqual({ binding: "POOL_CATALOGUE", className: "PoolList" });
});

test.each([
  ["no TOML", "name = ", /not TOML/],
  ["a binding that this edge cannot have", `${text}\n[[kv_namespaces]]\nbinding = "KV"\n`, /kv_namespaces/],
  ["a class that no migration makes", text.replace('["EgressIp", ', "["), /no migration makes EgressIp/],
  [
    "a date that is none",
    text.replace(/compatibility_date = ".*"/, 'compatibility_date = "soon"'),
    /compatibility_date/,
  ],
  [
    "a file that would be served without the Worker",
    text.replace("run_worker_first = true", "run_worker_first = false"),
    /run_worker_first/,
  ],
  ["a variable that is no text", `${text}\n[vars]\nGREETING = 5\n`, /GREETING/],
])("[CI4] %s is refused", (_what, broken, message) => {
  expect(() => parseWranglerConfig(broken)).toThrow(
    expect.objectContaining({ code: "edge-config-invalid", message: expect.stringMatching(message) }),
  );
});

test("[CI5] workerd is told the same bindings, classes, date, and where to store", () => {
  const config = workerdConfig(parseWranglerConfig(text), place);
  expect(config).toContain('(name = "EGRESS_IP", durableObjectNamespace = "EgressIp")');
  expect(config).toContain('(className = "EgressIp", uniqueKey = "ipshard-EgressIp", enableSql = true)');
  expect(config).toContain(
    '(className = "PoolCatalogue", uniqueKey = "ipshard-PoolCatalogue", enableSql = true)',
  );
  expect(config).toMatch(/compatibilityDate = "2026-\d\d-\d\d"/);
  expect(config).toContain('address = "127.0.0.1:8787"');
  expect(config).toContain(String.raw`path = "/state/with \"quotes\" \\ and such"`);
  expect(config).toContain('allow = ["public", "private"]');
  expect(config).toContain('(name = "assets", disk = (path = "/page/of it"))');
  expect(config).toContain('(name = "DASHBOARD", service = "assets")');
});

test("[WK41] workerd passes what clients want to CONNECT to on to whoever refuses it, and nothing else", () => {
  const config = workerdConfig(parseWranglerConfig(text), place);
  expect(config).toContain('(name = "tunnels", external = (address = "127.0.0.1:9", http = ()))');
  expect(config).toContain('globalOutbound = "tunnels"');
  expect(config).toContain('compatibilityFlags = ["connect_pass_through"]');
  expect(config).toContain('(name = "GATEWAYS", service = "network")');
});

test("[OC10] workerd asks the process beside it for copies where there is one", () => {
  const declaration = parseWranglerConfig(text);
  expect(workerdConfig(declaration, place)).not.toContain("COPIES");
  const config = workerdConfig(declaration, { ...place, copies: "127.0.0.1:7" });
  expect(config).toContain('(name = "copies", external = (address = "127.0.0.1:7", http = ()))');
  expect(config).toContain('(name = "COPIES", service = "copies")');
});

test("[CI5] no value of a variable or secret is in the configuration", () => {
  const config = workerdConfig({ ...parseWranglerConfig(text), vars: { GREETING: "the-value" } }, place);
  expect(config).toContain('(name = "GREETING", fromEnvironment = "GREETING")');
  expect(config).toContain('(name = "ISSUER_KEYS", fromEnvironment = "ISSUER_KEYS")');
  expect(config).toContain('(name = "EDGE_KEY", fromEnvironment = "EDGE_KEY")');
  expect(config).not.toContain("the-value");
});

test("[CI2] nobody else can look into the directory of an edge, also where an older version let them", async () => {
  const state = new StatePaths(await temporaryDirectory());
  await mkdir(state.edge, { mode: 0o755 });
  await prepareEdge(state, await ensureKeys(state), { host: "127.0.0.1", port: 1 });
  expect((await stat(state.edge)).mode & 0o777).toBe(0o700);
  expect((await stat(state.edgeStorage)).isDirectory()).toBe(true);
});

/** The reference of what is set for a pool: its settings, its policy, its addresses, and the file that `apply` takes. */
import { settingsSchema } from "../../src/api/schemas.ts";
import { poolsSchema } from "../../src/cli/desired/desired-file.ts";
import { DEFAULT_POOL_SETTINGS } from "../../src/core/pool-settings.ts";
import { code, document, table } from "./markdown.ts";
import { kindOf, membersOf, number, shapeOf } from "./shape.ts";

const INTRODUCTION = `What an operator may set for a pool, by \`PUT /v1/pools/{pool}\` ([API](api.md)), by \`npx ipshard pool\` and
\`npx ipshard apply\` ([command line](cli.md)). All hosts and routers of the pool follow it; none needs a restart. The same
as a JSON schema, with the options of agents, routers and the edge: [ipshard.schema.json](../ipshard.schema.json). Those options
as a table: [agent](cli.md#ipshard-agent), [router](cli.md#ipshard-router), [edge](cli.md#ipshard-edge).`;

const IN_FILE = `A YAML or JSON file for \`npx ipshard apply\`; \`*\` stands for a name of your own: of a pool, an address, a host or a tenant.`;

function defaultOf(name: string): string {
  const value = DEFAULT_POOL_SETTINGS[name as keyof typeof DEFAULT_POOL_SETTINGS];
  return typeof value === "number" ? number(value) : String(value);
}

/** The whole of it. */
export function settingReference(): string {
  const settings = membersOf(shapeOf(settingsSchema)).map(({ path, shape }) => [
    code(path),
    kindOf(shape),
    defaultOf(path),
    shape.description ?? "",
  ]);
  const members = membersOf({ properties: { pools: shapeOf(poolsSchema) } }).filter(
    ({ path }) => !path.includes(".settings."),
  );
  return document("Settings of a pool", INTRODUCTION, [
    "## Settings",
    "Names that end in `Ms` are milliseconds.",
    table(["setting", "takes", "default", "means"], settings),
    "## A file of pools",
    IN_FILE,
    table(
      ["member", "takes", "means"],
      members.map(({ path, shape }) => [code(path), kindOf(shape), shape.description ?? ""]),
    ),
  ]);
}

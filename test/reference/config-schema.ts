/** What files of ours may say, as the JSON schema that is published: `npm run docs` writes it anew. [CF3] */
import { join } from "node:path";
import { z } from "zod";
import { agentCommand } from "../../src/agent/command-line.ts";
import { poolsSchema } from "../../src/cli/desired/desired-file.ts";
import { edge } from "../../src/cli/verbs/edge.ts";
import { sectionSchema } from "../../src/process/configuration.ts";
import { routerCommand } from "../../src/router/command-line.ts";

/** Where it is. */
export const SCHEMA_FILE = join(import.meta.dirname, "../../docs/ipshard.schema.json");

/** Its text. */
export function configSchema(): string {
  const nowhere = (): void => {};
  const whole = z
    .strictObject({
      $schema: z.string().optional(),
      agent: sectionSchema(agentCommand(nowhere).options).optional(),
      router: sectionSchema(routerCommand(nowhere).options).optional(),
      edge: sectionSchema(edge.options).optional(),
      pools: poolsSchema.optional(),
    })
    .meta({
      title: "ipshard",
      description:
        "Options of `ipshard agent`, `router` and `edge` (--config), and pools for `ipshard apply`; a file may have any of them.",
    });
  return `${JSON.stringify(z.toJSONSchema(whole, { io: "input", unrepresentable: "any" }), null, 2)}\n`;
}

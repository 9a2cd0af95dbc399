/** What files of ours may say, as it is published for editors. [CF3] */
import { readFileSync } from "node:fs";
import { z } from "zod";
import { ownFile } from "../process/own-files.ts";

const FILE = ownFile("docs/ipshard.schema.json");

const optionSchema = z.object({ type: z.string().optional(), description: z.string().optional() });
const partsSchema = z.object({
  properties: z.record(z.string(), z.object({ properties: z.record(z.string(), optionSchema).optional() })),
});

/** An option of a program, as far as a shell needs to know it. */
export interface PublishedOption {
  readonly name: string;
  readonly description: string;
  readonly isFlag: boolean;
}

/** The JSON schema as text. */
export function publishedSchema(): string {
  return readFileSync(FILE, "utf8");
}

/** The options that a part of such a file may have, which are those of its program. */
export function publishedOptions(part: string): readonly PublishedOption[] {
  const { properties } = partsSchema.parse(JSON.parse(publishedSchema()));
  return Object.entries(properties[part]?.properties ?? {}).map(([name, { type, description = "" }]) => ({
    name,
    description,
    isFlag: type === "boolean",
  }));
}

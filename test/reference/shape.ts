/** A schema in a few words, as a cell of a table has room for. */
import { z } from "zod";

/** What of JSON Schema our schemas come to. */
export interface Shape {
  readonly type?: string | readonly string[];
  readonly title?: string;
  readonly description?: string;
  readonly default?: unknown;
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly anyOf?: readonly Shape[];
  readonly allOf?: readonly Shape[];
  readonly oneOf?: readonly Shape[];
  readonly items?: Shape;
  readonly properties?: Readonly<Record<string, Shape>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: Shape | boolean;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly maxItems?: number;
  /** Its name in the API's description. */
  readonly id?: string;
}

interface WithParts extends Shape {
  readonly $defs?: Readonly<Record<string, Shape>>;
}

/** A schema as JSON Schema, with what has a name of its own in the places where it is used. */
export function shapeOf(schema: z.ZodType, io: "input" | "output" = "input"): Shape {
  const whole = z.toJSONSchema(schema, { io, unrepresentable: "any", reused: "inline" }) as WithParts;
  return placed(whole, whole.$defs ?? {}) as Shape;
}

function placed(part: unknown, named: Readonly<Record<string, Shape>>): unknown {
  if (Array.isArray(part)) return part.map((item) => placed(item, named));
  if (typeof part !== "object" || part === null) return part;
  const name = "$ref" in part ? String(part.$ref).split("/").at(-1)! : null;
  if (name !== null) return { ...(placed(named[name], named) as object), id: name };
  return Object.fromEntries(Object.entries(part).map(([key, value]) => [key, placed(value, named)]));
}

/** One member of an object, by where it stands. */
export interface Member {
  readonly path: string;
  readonly shape: Shape;
  readonly isRequired: boolean;
}

/** A number as people read it. */
export function number(value: number): string {
  return value.toLocaleString("en-US");
}

/** What may stand there. */
export function kindOf(shape: Shape): string {
  if (shape.id !== undefined) return shape.id;
  if (Array.isArray(shape.type)) return oneOf(shape.type);
  if (shape.const !== undefined) return JSON.stringify(shape.const);
  if (shape.enum !== undefined) return oneOf(shape.enum.map((value) => JSON.stringify(value)));
  const choices = shape.anyOf ?? shape.oneOf;
  if (choices !== undefined) return oneOf([...new Set(choices.map(kindOf))]);
  if (shape.allOf !== undefined) return shape.allOf.map(kindOf).join(" and ");
  if (shape.type === "array") return `list of ${kindOf(shape.items ?? {})}`;
  if (shape.type === "integer" || shape.type === "number") return range(shape);
  if (shape.type === "object") return "object";
  if (shape.type === undefined) return "any";
  return shape.type === "boolean" ? "true or false" : String(shape.type);
}

/** Its members, also of those within, by their paths; what is in a list or under free names has `[]` or `*`. */
export function membersOf(shape: Shape, prefix = ""): Member[] {
  const inner = innerOf(shape);
  const required = new Set(inner.required);
  return Object.entries(inner.properties ?? {}).flatMap(([name, member]) => {
    const path = prefix === "" ? name : `${prefix}.${name}`;
    return below(member, path).toSpliced(0, 0, { path, shape: member, isRequired: required.has(name) });
  });
}

function below(shape: Shape, path: string): Member[] {
  const inner = innerOf(shape);
  if (inner.items !== undefined) return membersOf(inner.items, `${path}[]`);
  if (typeof inner.additionalProperties === "object")
    return membersOf(inner.additionalProperties, `${path}.*`);
  return membersOf(inner, path);
}

/** Without the null that may stand in its place. */
function innerOf(shape: Shape): Shape {
  const choices = (shape.anyOf ?? []).filter(({ type }) => type !== "null");
  return choices.length === 1 ? innerOf(choices[0]!) : shape;
}

function range({ minimum, maximum, type }: Shape): string {
  const what = type === "integer" ? "whole number" : "number";
  const least = minimum !== undefined && minimum > Number.MIN_SAFE_INTEGER ? minimum : undefined;
  const most = maximum !== undefined && maximum < Number.MAX_SAFE_INTEGER ? maximum : undefined;
  if (least !== undefined && most !== undefined) return `${what} from ${number(least)} to ${number(most)}`;
  if (most !== undefined) return `${what} up to ${number(most)}`;
  return least === undefined || least === 0 ? what : `${what} from ${number(least)}`;
}

function oneOf(words: readonly string[]): string {
  return words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} or ${words.at(-1)}`;
}

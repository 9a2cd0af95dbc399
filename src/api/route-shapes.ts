/** What every route of the API is made of. */
import type { z } from "zod";
import { problemSchema } from "./schemas.ts";

interface JsonOf<Schema extends z.ZodType> {
  readonly description: string;
  readonly content: { readonly "application/json": { readonly schema: Schema } };
}

/** A route. What it takes in its path and in its body has different names. */
export interface ApiRoute {
  readonly method: "get" | "put" | "post" | "patch" | "delete";
  /** With `{name}` for what `params` names. */
  readonly path: string;
  readonly summary: string;
  readonly request?: {
    readonly params?: z.ZodObject;
    readonly query?: z.ZodObject;
    readonly body?: { readonly content: { readonly "application/json": { readonly schema: z.ZodObject } } };
  };
  readonly responses: { readonly 200: JsonOf<z.ZodType> };
}

const refusals = {
  default: {
    description: "A refusal; `code` says which.",
    content: { "application/problem+json": { schema: problemSchema } },
  },
};

/** What a route answers, and that it may refuse. */
export function answers<Schema extends z.ZodType>(description: string, schema: Schema) {
  return { 200: { description, content: { "application/json": { schema } } }, ...refusals };
}

/** What a route takes as its body. */
export function takes<Schema extends z.ZodObject>(schema: Schema) {
  return { content: { "application/json": { schema } } };
}

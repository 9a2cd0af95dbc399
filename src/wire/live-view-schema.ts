/** Reads what a page says to the object that it looks at. [LV2] */
import { z } from "zod";
import type { LookRequest } from "../core/live-view.ts";
import { ok, type Outcome, refuse } from "../core/outcome.ts";

/** Longest message of a page that is looked at, in characters. */
const LONGEST_LOOK = 1_024;

const lookRequest = z.strictObject({
  type: z.literal("look"),
  past: z.boolean().optional(),
  decisions: z.boolean().optional(),
}) satisfies z.ZodType<LookRequest>;

/** What a page says. */
export function parseLookRequest(text: string): Outcome<LookRequest, "message-malformed"> {
  if (text.length > LONGEST_LOOK) return refuse("message-malformed");
  try {
    return ok(lookRequest.parse(JSON.parse(text)));
  } catch {
    return refuse("message-malformed");
  }
}

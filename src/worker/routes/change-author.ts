/** Who changes something, as the log of the object that is changed has it. [AU1] [AU4] */
import type { Context } from "hono";
import type { ROUTES } from "../../api/routes.ts";
import type { ChangeAuthor } from "../../core/audit.ts";
import type { EdgeContext } from "../identity/authenticate.ts";

type Routes = typeof ROUTES;

/** Routes that may change something, by their names. */
export type ChangingRoute = {
  [Name in keyof Routes]: Routes[Name]["method"] extends "get" ? never : Name;
}[keyof Routes];

/**
 * The author of a change, for the object. Of the request only what the route's schemas have let pass is
 * told: no header, so no token.
 */
export function changeAuthor(
  context: Context<EdgeContext>,
  route: ChangingRoute,
  given: Readonly<Record<string, unknown>>,
): ChangeAuthor {
  const { subject, tokenId } = context.get("identity");
  return { subject, tokenId: tokenId ?? null, route, given: JSON.stringify(given) };
}

/** What the page shows, as its fragment says: a link to a view can be kept and given on. */
import { pathPart } from "../parts/words.ts";

/** The views of a pool. */
export const POOL_VIEWS = ["fleet", "map", "time", "log", "try"] as const;
export type PoolView = (typeof POOL_VIEWS)[number];

/** What is shown. `ip` only in a map. */
export type Route =
  | { readonly view: PoolView; readonly pool: string | null; readonly ip: string | null }
  | { readonly view: "who"; readonly ip: string; readonly port: string; readonly at: string }
  | { readonly view: "plan" };

/** What views are called. */
export const TITLES: Readonly<Record<Route["view"], string>> = {
  fleet: "Fleet",
  map: "Port map",
  time: "Time",
  log: "Decisions",
  try: "Try it",
  who: "Who was it",
  plan: "Plan",
};

const SIGN_IN = "#sign-in=";

/** Reads a fragment; whatever it is, something can be shown. */
export function routeOf(fragment: string): Route {
  const [path = "", query = ""] = fragment.replace(/^#\/?/, "").split("?");
  const [first = "", pool = "", view = "", ip = ""] = path.split("/").map(decoded);
  if (first === "plan") return { view: "plan" };
  if (first === "who") {
    const asked = new URLSearchParams(query);
    return {
      view: "who",
      ip: asked.get("ip") ?? "",
      port: asked.get("port") ?? "",
      at: asked.get("at") ?? "",
    };
  }
  if (first !== "pools" || pool === "") return { view: "fleet", pool: null, ip: null };
  const known = POOL_VIEWS.find((each) => each === view) ?? "fleet";
  return { view: known, pool, ip: known === "map" && ip !== "" ? ip : null };
}

/** The fragment of a route. */
export function fragmentOf(route: Route): string {
  if (route.view === "plan") return "#/plan";
  if (route.view === "who") {
    const query = new URLSearchParams(
      Object.entries({ ip: route.ip, port: route.port, at: route.at }).filter(([, value]) => value !== ""),
    );
    return query.size === 0 ? "#/who" : `#/who?${query}`;
  }
  if (route.pool === null) return "#/";
  const parts = ["pools", route.pool];
  if (route.view !== "fleet") parts.push(route.view);
  if (route.ip !== null) parts.push(route.ip);
  return `#/${parts.map(pathPart).join("/")}`;
}

/** Whether the page was opened by a link that signs in. */
export function hasSignInCode(): boolean {
  return location.hash.startsWith(SIGN_IN);
}

/** The code of a link that signs in once, which is taken out of what the browser remembers; null if there is none. */
export function takeSignInCode(): string | null {
  if (!hasSignInCode()) return null;
  const { hash, pathname } = location;
  history.replaceState(null, "", pathname);
  return decoded(hash.slice(SIGN_IN.length));
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** The `url` parameter of a fetch: where a request is to go, or why it is none. [GW2] */
import { ok, type Outcome, refuse } from "../../core/outcome.ts";
import type { Problem } from "../../core/problems.ts";

const OVERSIZED_PORT = /^[a-z][a-z0-9+.-]*:\/\/[^/?#]*:\d{5,}(?:[/?#]|$)/i;

/** Reads the query string of a fetch, without its question mark. */
export function parseDestination(query: string): Outcome<URL, Problem> {
  const parameters = new URLSearchParams(query);
  const text = parameters.get("url");
  if (text === null || text === "") return refuse({ code: "url-missing" });
  // An unescaped & in the url would otherwise silently fetch something else.
  if (parameters.size !== 1) {
    return refuse({ code: "url-malformed", detail: "There is more than one url; escape its & as %26." });
  }
  return checkDestination(text);
}

/** Judges a destination; `base` resolves relative ones, as in a redirect. */
export function checkDestination(text: string, base?: URL): Outcome<URL, Problem> {
  const url = URL.parse(text, base?.href);
  if (url === null) {
    return refuse({ code: OVERSIZED_PORT.test(text) ? "url-port-invalid" : "url-malformed" });
  }
  if (url.protocol !== "https:" && url.protocol !== "http:") {
    return refuse({ code: "url-scheme-unsupported", detail: url.protocol });
  }
  if (url.username !== "" || url.password !== "") return refuse({ code: "url-credentials" });
  if (url.port === "0") return refuse({ code: "url-port-invalid" });
  return ok(url);
}

/** What a request asks its origin for: the URL as it stands, but for origin and fragment. */
export function requestTargetOf(url: URL): string {
  // `pathname` and `search` would lose a question mark that nothing follows.
  const { href, origin, hash } = url;
  const end = href.length - (hash === "" && !href.endsWith("#") ? 0 : Math.max(hash.length, 1));
  return href.slice(origin.length, end);
}

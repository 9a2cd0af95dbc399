/**
 * The one form in which a gateway's URL is told, kept and compared: the paths of its API follow
 * it directly, so it ends neither with a slash nor with an empty query or fragment. [DO14]
 */

/** A gateway's URL in this form; null for what is none. It needs a token, so no credentials. */
export function gatewayUrl(text: string): string | null {
  const url = URL.parse(text);
  if (url === null || (url.protocol !== "http:" && url.protocol !== "https:")) return null;
  const { username, password, search, hash } = url;
  if (username !== "" || password !== "" || search !== "" || hash !== "") return null;
  return url.origin + url.pathname.replace(/\/+$/, "");
}

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
  // By hand: a host chooses it, and a pattern would try a long run of slashes once for each of them.
  let end = url.pathname.length;
  while (url.pathname[end - 1] === "/") end -= 1;
  return url.origin + url.pathname.slice(0, end);
}

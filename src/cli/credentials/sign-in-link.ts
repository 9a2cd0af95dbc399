/** The link by which a browser signs in to the dashboard. */

/** What is behind the # is sent to no server and stands in no log; the page takes it out of the history. [DA4] */
export function signInLink(edge: string | URL, code: string): string {
  return `${new URL("/dashboard", edge).href}#sign-in=${code}`;
}

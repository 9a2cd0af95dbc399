/** Headers in which the Worker names the verified host, router or viewer to an object. [DO5] */

/** Request header in which the Worker names the verified host. */
export const HOST_HEADER = "ipshard-host";
/** Request header in which the Worker names the verified router. */
export const ROUTER_HEADER = "ipshard-router";
/** Request header in which the Worker names who looks, by a page. [LV2] */
export const VIEWER_HEADER = "ipshard-viewer";
/** Request header in which the Worker names the session of who looks. [LV3] */
export const SESSION_HEADER = "ipshard-session";
/** Request header in which the Worker says when that session ends, in Unix milliseconds. [LV3] */
export const SESSION_END_HEADER = "ipshard-session-end";
/** Request header in which the Worker names the token by which a host, a router or a viewer connects. [TK6] */
export const TOKEN_HEADER = "ipshard-token";
/** Request header in which the Worker names the key that has signed this token. [TK7] */
export const KEY_HEADER = "ipshard-key";

/** All of them. Objects trust them, so the Worker removes a client's own before it sets any. */
export const PEER_HEADERS = [
  HOST_HEADER,
  ROUTER_HEADER,
  VIEWER_HEADER,
  SESSION_HEADER,
  SESSION_END_HEADER,
  TOKEN_HEADER,
  KEY_HEADER,
] as const;

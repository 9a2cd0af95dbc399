/** Headers in which the Worker names the verified host or router to an object. [DO5] */

/** Request header in which the Worker names the verified host. */
export const HOST_HEADER = "ipshard-host";
/** Request header in which the Worker names the verified router. */
export const ROUTER_HEADER = "ipshard-router";
/** Request header in which the Worker names the token by which a host or a router connects. [TK6] */
export const TOKEN_HEADER = "ipshard-token";
/** Request header in which the Worker names the key that has signed this token. [TK7] */
export const KEY_HEADER = "ipshard-key";

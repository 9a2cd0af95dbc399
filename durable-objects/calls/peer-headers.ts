/** How the Worker says who asks to be connected to an object, once it has verified the token. [DO5] */

/** Request header in which the Worker names the verified host. */
export const HOST_HEADER = "ipshard-host";
/** Request header in which the Worker names the verified router. */
export const ROUTER_HEADER = "ipshard-router";

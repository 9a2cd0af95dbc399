/** Headers in which the Worker names the verified host or router to an object. [DO5] */

/** Request header in which the Worker names the verified host. */
export const HOST_HEADER = "ipshard-host";
/** Request header in which the Worker names the verified router. */
export const ROUTER_HEADER = "ipshard-router";

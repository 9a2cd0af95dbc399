/** By what a router steers, as the operator says it. */
export const STEERINGS = ["auto", "xdp", "nft"] as const;

/** `auto` is the faster that the machine can do. */
export type Steering = (typeof STEERINGS)[number];

/** IPv4 and IPv6. */

/** The two kinds of addresses; one cannot send to the other. */
export type Family = 4 | 6;

/** The family of an address. */
export function familyOf(ip: string): Family {
  return ip.includes(":") ? 6 : 4;
}

/** The other one. */
export function otherFamily(family: Family): Family {
  return family === 4 ? 6 : 4;
}

/** Rendezvous hashing (Thaler and Ravishankar, 1998): who has the highest weight for a name. [PL2] */

/** A 32-bit mix of both names: FNV-1a, then the finalizer of MurmurHash3 to spread it. */
export function rendezvousWeight(session: string, ip: string): number {
  let hash = 0x811c9dc5;
  for (const text of [session, "\0", ip]) {
    for (let at = 0; at < text.length; at += 1) {
      hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
    }
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

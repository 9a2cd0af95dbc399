/** What a proxy adds to a request so that others see it: nothing, unless it is asked to. [PX8] */
import { isIP } from "node:net";

/** Which marks are made. */
export interface ProxyMarks {
  /** The pseudonym in `via` (RFC 9110 section 7.6.3); null for none. */
  readonly via: string | null;
  /** Whether the destination is told the client's address (RFC 7239). */
  readonly isForwardedTold: boolean;
}

/** Names and values in turn. */
export function marksOf({ via, isForwardedTold }: ProxyMarks, remoteAddress: string | undefined): string[] {
  const fields: string[] = [];
  if (via !== null) fields.push("via", `1.1 ${via}`);
  if (isForwardedTold && remoteAddress !== undefined) {
    const ip = remoteAddress.replace(/^::ffff:(?=\d+\.)/, "");
    fields.push("forwarded", `for=${isIP(ip) === 6 ? `"[${ip}]"` : ip}`);
  }
  return fields;
}

/** What is wrong with how a proxy took what was said to it in SOCKS, or nearly so. */
import type { RecordedConnection } from "./recording-origin.ts";
import type { SocksReading } from "./socks-cases.ts";

const SUCCESS = Buffer.from([5, 0, 0, 1]);

/** Judges one connection of a client. */
export function judgeSocks(
  reading: SocksReading,
  answered: Buffer,
  connections: readonly RecordedConnection[],
  isCounted: boolean,
): { readonly findings: string[]; readonly hasTunnel: boolean } {
  const findings: string[] = [];
  const hasTunnel = repliesOf(answered).indexOf(SUCCESS) !== -1;
  const through = reading.kind === "tunnel" || reading.kind === "either" ? reading.through : null;
  if (reading.kind === "tunnel" && !hasTunnel) findings.push("what is right has no tunnel");
  if (through === null && hasTunnel && reading.kind !== "association")
    findings.push("what is not right has a tunnel");
  if (hasTunnel && through !== null && through.length > 0) {
    const arrived = connections.map(({ bytes }) => bytes);
    if (arrived.length !== 1 || !arrived[0]!.equals(through))
      findings.push("what was sent did not arrive as it was");
  } else if (connections.length > 0) {
    findings.push("the origin was sent what nobody had sent");
  }
  if (reading.kind === "refused" && !isCounted) findings.push("the refusal is not counted");
  return { findings, hasTunnel };
}

/** What the proxy said of itself: an answer to the greeting, one to a login, one to the request. */
function repliesOf(answered: Buffer): Buffer {
  return answered.subarray(0, 2 + 2 + 4);
}

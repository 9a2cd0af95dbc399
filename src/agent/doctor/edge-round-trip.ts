/**
 * The proof that a host serves its clients: a request through the edge that leaves from this very
 * host. Clients name no host, so the edge is asked again until it chooses this one, and a bounded
 * number of times; that it should never do so by chance is as good as impossible. [HS5]
 */
import { type Finding, good, problem } from "../../process/finding.ts";
import { type Answer, askFrom, meaningOf, type Sender } from "../../link/round-trip.ts";

/** A host as the edge has placed it. */
export interface PlacedHost {
  readonly host: string;
  /** As the edge reaches it. */
  readonly gateway: string;
  readonly ips: readonly string[];
}

/** With equal hosts, each is missed once in 160,000 times. */
const TRIES_PER_HOST = 12;
const MAX_TRIES = 240;
/** Of failures that no other host has by its name so many are enough, where nothing else comes. */
const MAX_FAILURES = 8;
/** Asked at the same time. */
const BATCH = 4;

/** Asks `to` from an address, through the edge, until the request leaves from this host. */
export async function throughEdge(
  edge: Sender,
  ip: string,
  to: string,
  host: string,
  placed: readonly PlacedHost[],
): Promise<Finding> {
  const serving = placed.filter(({ ips }) => ips.includes(ip));
  const own = serving.find((one) => one.host === host);
  const tries = Math.min(MAX_TRIES, TRIES_PER_HOST * Math.max(1, serving.length));
  const failures = new Map<string, number>();
  const others = new Set<string>();
  let hasRefusedHere = false;
  let askedCount = 0;
  let failureCount = 0;
  let elsewhereCount = 0;
  while (askedCount < tries && (others.size > 0 || failureCount - elsewhereCount < MAX_FAILURES)) {
    const answers = await Promise.all(Array.from({ length: BATCH }, () => askFrom(edge, ip, to)));
    askedCount += answers.length;
    for (const answer of answers) {
      const failure = failureOf(answer);
      if (failure !== null) {
        failures.set(failure, (failures.get(failure) ?? 0) + 1);
        failureCount += 1;
        const by = "host" in answer ? answer.host : null;
        hasRefusedHere ||= by === host;
        if (by !== null && by !== host) elsewhereCount += 1;
      } else if ("host" in answer && answer.host !== null && answer.host !== host) {
        others.add(answer.host);
      }
    }
    const arrived = answers.find(
      (answer) => failureOf(answer) === null && "host" in answer && answer.host === host,
    );
    if (arrived === undefined || "fault" in arrived) continue;
    const said = `Through the edge at ${edge.url} a request left from ${ip} port ${arrived.port} of this host, ${host}`;
    if (failureCount === 0) return good(`${said}, and its reply (${arrived.status}) came back.`);
    return problem(`${said}, but ${failureCount} of ${askedCount} requests failed: ${listed(failures)}.`);
  }
  const served = others.size === 0 ? "" : ` Others came from ${[...others].toSorted().join(", ")}.`;
  const failed = failureCount === 0 ? "" : ` ${failureCount} failed: ${listed(failures)}.`;
  const why =
    own === undefined
      ? "The edge places nothing here now: the host drains, holds no ports of the address, or has lost the edge."
      : hasRefusedHere
        ? `The edge does reach this host, which refused by itself: it is ${to} that cannot be had from here.`
        : `The edge knows its gateway as ${own.gateway} (the agent's --gateway): is that this host, and can the edge reach it?`;
  return problem(
    `None of ${askedCount} requests from ${ip} through the edge at ${edge.url} left from this host, ${host}.${served}${failed} ${why}`,
  );
}

/** Why an answer is no good one, in words; null if it is. */
function failureOf(answer: Answer): string | null {
  if ("fault" in answer) return `no answer, ${answer.fault}`;
  if (answer.code !== null) return `${meaningOf(answer.code)}(${answer.code})`;
  // What is told is what the Internet sees, which need not be the address that was asked for. [PF5]
  return answer.ip !== null ? null : `an answer (${answer.status}) that is no gateway's`;
}

function listed(failures: ReadonlyMap<string, number>): string {
  return [...failures]
    .map(([failure, count]) => (count === 1 ? failure : `${count} times ${failure}`))
    .join("; ");
}

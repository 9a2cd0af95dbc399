/**
 * The proof with which a doctor ends: a request from each shared address, out of a leased port,
 * whose reply can only come back if routers steer that port to its host. [HS4] [RT12]
 */
import { isIP } from "node:net";
import { PROBLEM_CODES, problemKind } from "../core/problems.ts";
import {
  EGRESS_AUTHORIZATION,
  EGRESS_HOST,
  EGRESS_IP,
  EGRESS_PORT,
  FETCH_PATH,
} from "../wire/header-names.ts";
import { gatewayUrl } from "../wire/gateway-url.ts";
import { problemCodeOf } from "../wire/problem-response.ts";
import { type Finding, good, note, problem, unknown } from "./finding.ts";

const TIMEOUT_MS = 15_000;

/** Who sends for us. */
export interface Sender {
  readonly kind: "gateway" | "edge";
  readonly url: string;
  /** One that it takes. */
  readonly token: string;
}

/** Asks `to` from each address. */
export async function roundTrips(by: Sender, ips: readonly string[], to: string): Promise<Finding[]> {
  const asking = ips.filter((ip) => !isOfOtherFamily(to, ip));
  const others = ips.filter((ip) => !asking.includes(ip));
  // Without a single round trip nothing is proven.
  const say = asking.length === 0 ? unknown : note;
  const findings = others.map((ip) =>
    say(`${to} cannot be asked from ${ip}, which is of the other family: give --to a name that has both.`),
  );
  for (const ip of asking) findings.push(await roundTrip(by, ip, to));
  return findings;
}

/** What went wrong, as briefly as it is known. */
export function reasonOf(fault: unknown): string {
  const { cause, message } = fault as Error & { readonly cause?: { readonly code?: string } };
  return cause?.code ?? message;
}

/** Only an address as a destination tells; of a name, the gateway finds out. */
function isOfOtherFamily(to: string, ip: string): boolean {
  const host = URL.parse(to)?.hostname.replace(/^\[|\]$/g, "") ?? "";
  return isIP(host) !== 0 && isIP(host) !== isIP(ip);
}

async function roundTrip({ kind, url: base, token }: Sender, ip: string, to: string): Promise<Finding> {
  let response: Response;
  try {
    const url = `${gatewayUrl(base) ?? base}${FETCH_PATH}?url=${encodeURIComponent(to)}`;
    response = await fetch(url, {
      headers: { [EGRESS_AUTHORIZATION]: `Bearer ${token}`, egress: `ip="${ip}"` },
      redirect: "manual",
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    await response.body?.cancel();
  } catch (fault) {
    return problem(`The ${kind} at ${base} does not answer: ${reasonOf(fault)}.`);
  }
  const code = problemCodeOf(response.headers.get("proxy-status"));
  if (code === null) {
    const [from, port, host] = [EGRESS_IP, EGRESS_PORT, EGRESS_HOST].map((name) =>
      response.headers.get(name),
    );
    if (from !== ip) return problem(`What answers at ${base} is no ${kind} of ipshard (${response.status}).`);
    return good(
      `A request left from ${from} port ${port} of ${host}, and its reply (${response.status}) came back.`,
    );
  }
  if (code === "connection-timeout") {
    return problem(
      `Nothing came back to ${ip} from ${to}: do the routers steer the ports to their host? (${code})`,
    );
  }
  return problem(`The round trip from ${ip} to ${to} failed: ${meaningOf(code)}(${code})`);
}

/** What every part of one version knows; a gateway of another may say more. */
function meaningOf(code: string): string {
  const known = PROBLEM_CODES.find((one) => one === code);
  return known === undefined ? "" : `${problemKind(known).title} `;
}

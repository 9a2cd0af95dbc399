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
import { type Finding, good, note, problem, unknown } from "../process/finding.ts";

const TIMEOUT_MS = 15_000;

const WRONG_GATEWAY = " Is --gateway this host's own gateway, and not the edge?";
const OTHER_PLACE = " Does it fail for another --to as well?";
/** What to try next, after a refusal whose title does not say. */
const ADVICE: ReadonlyMap<string, string> = new Map([
  ["destination-prohibited", " Give --to a public place, or start the agents with --allow for that range."],
  ["connection-refused", OTHER_PLACE],
  ["connection-terminated", OTHER_PLACE],
  ["dns-error", OTHER_PLACE],
  ["destination-unroutable", OTHER_PLACE],
]);

/** Who sends for us. */
export interface Sender {
  readonly kind: "gateway" | "edge";
  readonly url: string;
  /** One that it takes. */
  readonly token: string;
}

/** An answer that a round trip brought, or why there was none. */
export type Answer =
  | {
      readonly status: number;
      /** Of a refusal of ours. */
      readonly code: string | null;
      readonly ip: string | null;
      readonly port: string | null;
      readonly host: string | null;
    }
  | { readonly fault: string };

/** What round trips from some addresses have shown. */
export interface RoundTrips {
  readonly findings: readonly Finding[];
  /** The addresses of a family with the destination. */
  readonly asked: readonly string[];
  /** Who answered last; null if nobody of ours did. */
  readonly host: string | null;
}

/** Asks `to` from each address. */
export async function roundTrips(by: Sender, ips: readonly string[], to: string): Promise<RoundTrips> {
  const asked = ips.filter((ip) => !isOfOtherFamily(to, ip));
  const others = ips.filter((ip) => !asked.includes(ip));
  // Without a single round trip nothing is proven.
  const say = asked.length === 0 ? unknown : note;
  const findings = others.map((ip) =>
    say(`${to} cannot be asked from ${ip}, which is of the other family: give --to a name that has both.`),
  );
  let host: string | null = null;
  for (const ip of asked) {
    const answer = await askFrom(by, ip, to);
    findings.push(findingOf(answer, by, ip, to));
    if (!("fault" in answer)) host = answer.host ?? host;
  }
  return { findings, asked, host };
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

/** Asks `to` from one address, once. */
export async function askFrom({ url: base, token }: Sender, ip: string, to: string): Promise<Answer> {
  try {
    const url = `${gatewayUrl(base) ?? base}${FETCH_PATH}?url=${encodeURIComponent(to)}`;
    const response = await fetch(url, {
      headers: { [EGRESS_AUTHORIZATION]: `Bearer ${token}`, egress: `ip="${ip}"` },
      redirect: "manual",
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    await response.body?.cancel();
    const { status, headers } = response;
    return {
      status,
      code: problemCodeOf(headers.get("proxy-status")),
      ip: headers.get(EGRESS_IP),
      port: headers.get(EGRESS_PORT),
      host: headers.get(EGRESS_HOST),
    };
  } catch (fault) {
    return { fault: reasonOf(fault) };
  }
}

function findingOf(answer: Answer, { kind, url: base }: Sender, ip: string, to: string): Finding {
  if ("fault" in answer) return problem(`The ${kind} at ${base} does not answer: ${answer.fault}.`);
  const { status, code, ip: from, port, host } = answer;
  if (code === null) {
    // What is told is what the Internet sees, which need not be the address that was asked for. [PF5]
    if (from === null) return problem(`What answers at ${base} is no ${kind} of ipshard (${status}).`);
    return good(`A request left from ${from} port ${port} of ${host}, and its reply (${status}) came back.`);
  }
  if (code === "connection-timeout") {
    return problem(
      `Nothing came back to ${ip} from ${to}: do the routers steer the ports to their host? (${code})`,
    );
  }
  const advice = kind === "gateway" && code === "role-denied" ? WRONG_GATEWAY : (ADVICE.get(code) ?? "");
  return problem(`The round trip from ${ip} to ${to} failed: ${meaningOf(code)}(${code})${advice}`);
}

/** What every part of one version knows; a gateway of another may say more. */
export function meaningOf(code: string): string {
  const known = PROBLEM_CODES.find((one) => one === code);
  return known === undefined ? "" : `${problemKind(known).title} `;
}

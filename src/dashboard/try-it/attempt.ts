/** A request that is sent from the page, and its way hop by hop. [PG9] */
import { proxyErrorOf } from "../parts/refusal-title.ts";
import { placeText } from "../parts/words.ts";

/** As the edge tells what became of it. */
export interface Attempt {
  readonly requestId: string;
  readonly tookMs: number;
  readonly status: number | null;
  readonly answered: boolean;
  readonly refusal: {
    readonly code: string;
    readonly title: string;
    readonly detail?: string;
    readonly remedy: string;
  } | null;
  readonly egress: {
    readonly ip: string;
    readonly advertised: string | null;
    readonly port: number | null;
    readonly host: string;
  } | null;
  readonly block: { readonly firstPort: number; readonly lastPort: number; readonly epoch: number } | null;
  readonly routers: readonly {
    readonly router: string;
    readonly live: boolean;
    readonly acknowledged: number | null;
    readonly knows: boolean;
  }[];
  readonly timings: Readonly<Record<TimingName, number | null>>;
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly body: string;
  readonly attempts?: readonly { readonly host: string; readonly code: string }[];
}

/** RFC 9209's errors of what comes after a proxy. */
const OF_DESTINATION =
  /^(connection_(read_timeout|refused|terminated|timeout)$|dns_|tls_|http_(response_|protocol_|upgrade_)|destination_ip_unroutable$)/;

/** Whose time is told. */
export type TimingName = "edgeMs" | "hostMs" | "resolveMs" | "dialMs" | "tlsMs" | "firstByteMs";

/** A place that a request comes by. */
export interface Hop {
  readonly name: string;
  readonly lines: readonly string[];
  /** How long it took there; null where nobody tells. */
  readonly times: readonly (readonly [what: string, ms: number])[];
  readonly state: "passed" | "refused" | "unreached";
}

/** The way of a request, hop by hop; `roundTripMs` as the page measured it. */
export function wayOf(attempt: Attempt, url: string, roundTripMs: number): readonly Hop[] {
  const { egress, block, answered, refusal, timings, attempts = [] } = attempt;
  const refusedAt = placeOfRefusal(attempt);
  // The last that was asked is the one whose word is final, if it is a host's word.
  const isLastFinal = refusal !== null && refusedAt !== "edge" && egress === null;
  const others = isLastFinal ? attempts.slice(0, -1) : attempts;
  const host = egress?.host ?? (isLastFinal ? attempts.at(-1)?.host : undefined);
  const onTheWay = Math.max(0, roundTripMs - attempt.tookMs);
  const stateOf = (place: "edge" | "host" | "destination"): Hop["state"] => {
    const order = ["edge", "host", "destination"];
    if (refusedAt === null) return place === "destination" && !answered ? "unreached" : "passed";
    if (refusedAt === place) return "refused";
    return order.indexOf(place) < order.indexOf(refusedAt) ? "passed" : "unreached";
  };
  return [
    {
      name: "This page",
      lines: ["asks the edge"],
      times: told([["there and back", onTheWay]]),
      state: "passed",
    },
    {
      name: "Edge",
      lines: ["chooses a host", ...others.map((each) => `${each.host} said ${each.code}`)],
      times: told([["edge", timings.edgeMs]]),
      state: stateOf("edge"),
    },
    {
      name: host ?? "Host",
      lines: ["judges and dials"],
      times: told([["host", timings.hostMs]]),
      state: stateOf("host"),
    },
    {
      name: egress === null ? "Address and port" : placeText(egress.ip, egress.port),
      lines: [
        ...(block === null ? [] : [`block ${block.firstPort}–${block.lastPort}`, `epoch ${block.epoch}`]),
        ...(egress?.advertised != null && egress.advertised !== egress.ip
          ? [`seen as ${egress.advertised}`]
          : []),
      ],
      times: [],
      state: egress !== null || refusedAt === "destination" ? "passed" : "unreached",
    },
    {
      name: placeIn(url),
      lines: answered && attempt.status !== null ? [`answered ${attempt.status}`] : [],
      times: told([
        ["resolve", timings.resolveMs],
        ["dial", timings.dialMs],
        ["TLS", timings.tlsMs],
        ["first byte", timings.firstByteMs],
      ]),
      state: stateOf("destination"),
    },
  ];
}

/** Whose word a refusal is: of the destination, where what went wrong did so on the way to it. */
function placeOfRefusal({ refusal, egress, timings }: Attempt): "edge" | "host" | "destination" | null {
  if (refusal === null) return null;
  if (egress === null && timings.hostMs === null) return "edge";
  // It ended at a host, though with the words of a connection that did.
  if (refusal.code === "host-lost") return "host";
  return OF_DESTINATION.test(proxyErrorOf(refusal.code) ?? "") ? "destination" : "host";
}

function told(
  times: readonly (readonly [string, number | null | undefined])[],
): (readonly [string, number])[] {
  return times.flatMap(([what, ms]) => (ms === null || ms === undefined ? [] : [[what, ms] as const]));
}

function placeIn(url: string): string {
  try {
    return new URL(url).host;
  } catch {
    return "Destination";
  }
}

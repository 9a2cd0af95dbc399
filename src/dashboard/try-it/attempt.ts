/** A request that is sent from the page, as the edge tells what became of it. */
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
  const isAtHost = egress !== null;
  const refusedAt: "edge" | "host" | "destination" | null =
    refusal === null ? null : isAtHost ? "destination" : timings.hostMs === null ? "edge" : "host";
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
      lines: ["chooses a host", ...attempts.map(({ host, code }) => `${host} said ${code}`)],
      times: told([["edge", timings.edgeMs]]),
      state: stateOf("edge"),
    },
    {
      name: egress === null ? "Host" : egress.host,
      lines: ["judges and dials"],
      times: told([["host", timings.hostMs]]),
      state: stateOf("host"),
    },
    {
      name: egress === null ? "Address and port" : addressText(egress),
      lines: [
        ...(block === null ? [] : [`block ${block.firstPort}–${block.lastPort}`, `epoch ${block.epoch}`]),
        ...(egress?.advertised != null && egress.advertised !== egress.ip
          ? [`seen as ${egress.advertised}`]
          : []),
      ],
      times: [],
      state: isAtHost ? "passed" : "unreached",
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

function told(
  times: readonly (readonly [string, number | null | undefined])[],
): (readonly [string, number])[] {
  return times.flatMap(([what, ms]) => (ms === null || ms === undefined ? [] : [[what, ms] as const]));
}

function addressText({ ip, port }: NonNullable<Attempt["egress"]>): string {
  const shown = ip.includes(":") ? `[${ip}]` : ip;
  return port === null ? shown : `${shown}:${port}`;
}

function placeIn(url: string): string {
  try {
    return new URL(url).host;
  } catch {
    return "Destination";
  }
}

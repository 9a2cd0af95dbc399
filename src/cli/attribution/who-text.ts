/** What is known of a port at a time, in sentences. [AT8] */
import type { HeldLease, Holders, HostAnswer } from "../../api/holder-schemas.ts";
import type { LoggedFlow, LoggedTranslation } from "../../wire/flow-answer.ts";
import { printable } from "../output/terminal-text.ts";

/** The answer for people. */
export function whoText(found: Holders): string {
  const lines = [
    ...leaseLines(found),
    ...found.holders.flatMap(({ flows, host }) => flowLines(flows, host, found.throughMs === found.atMs)),
  ];
  // Names come from hosts, one of which may want to write over what others have said.
  return lines.map(printable).join("\n");
}

function leaseLines({
  ip,
  port,
  atMs,
  throughMs,
  state,
  reason,
  holders,
  before,
  after,
  knownSinceMs,
}: Holders): string[] {
  const asked = `${placeText(ip, port)} ${whenText(atMs, throughMs)}`;
  if (state === "held") {
    const several = "The edge's clock was set back, so that time came more than once: each of these had it.";
    return [
      ...(holders.length > 1 ? [several] : []),
      ...holders.map(
        (lease) => `${asked}: host ${lease.host} of pool ${lease.pool}, by ${leaseText(lease)}.`,
      ),
    ];
  }
  const neighbours = [
    ...(before === null
      ? []
      : [
          `Before that it was ${before.host}'s, by ${leaseText(before)}: ${agoText(atMs - before.untilMs!)} earlier.`,
        ]),
    ...(after === null
      ? []
      : [`Next it was ${after.host}'s, by ${leaseText(after)}: ${agoText(after.sinceMs - atMs)} later.`]),
  ];
  switch (reason) {
    case "port-reserved":
      return [`${asked}: nobody. Ports below 1024 are never leased.`];
    case "not-yet":
      return [`${asked}: unknown. That time has not come yet.`];
    case "before-history":
      return [
        `${asked}: unknown. All that is known of ${ip} begins at ${timeText(knownSinceMs)}.`,
        ...neighbours,
      ];
    case "not-leased":
    case null:
      return [`${asked}: nobody. It was free, or in quarantine.`, ...neighbours];
  }
}

function leaseText({ firstPort, lastPort, sinceMs, untilMs, end, epoch }: HeldLease): string {
  const until = untilMs === null ? "and still is" : `until ${timeText(untilMs)} (${end})`;
  return `lease ${epoch} of ports ${firstPort}-${lastPort}, from ${timeText(sinceMs)} ${until}`;
}

function flowLines({ state, detail, log }: HostAnswer, host: string, isExact: boolean): string[] {
  const why = detail === null ? "" : ` (${detail})`;
  if (state === "host-unknown") {
    return [
      `Its pool knows ${host} no more, so nobody can be asked which client used the port. If its disk is there still: the flow log is in its state directory.`,
    ];
  }
  if (state === "unreachable")
    return [`${host} cannot be asked which client used the port${why}. Ask again when it is there.`];
  if (log === null) return [`${host} does not say which client used the port${why}.`];
  const lines = logLines(log, host, isExact);
  return log.isComplete
    ? lines
    : [...lines, "There were more than an answer holds: ask with --to, or with --protocol."];
}

function logLines(log: NonNullable<HostAnswer["log"]>, host: string, isExact: boolean): string[] {
  const { level, sinceMs, flows, ended, destinations, translations } = log;
  // Of such a port no flow is logged, so that a log without one says nothing.
  const told = translations.map((translation) => translationText(translation, host));
  if (told.length > 0 && flows.length === 0)
    return ended.length === 0 ? told : [...told, "Shortly before that had ended:", ...listed(ended)];
  if (flows.length === 0 && level === "off")
    return [`${host} logged nothing then (--flow-log off): which client used the port is not known.`];
  if (flows.length === 0 && level === "blocks") {
    return [
      `${host} logged only its blocks then: which client used the port is not known. With --flow-log flows it is.`,
    ];
  }
  if (flows.length === 0 && level === "unknown") {
    const since = sinceMs === null ? "has nothing" : `begins at ${timeText(sinceMs)}`;
    return [`Which client used the port is not known: the flow log of ${host} ${since}.`];
  }
  const tenants = new Set(flows.map(({ tenant }) => tenant));
  const isShared = tenants.size > 1;
  const advice = destinations
    ? "Ask with --to."
    : "Which one went where was not logged (--flow-log-destinations).";
  return [
    ...(flows.length === 0
      ? [`Nothing used the port ${isExact ? "at that time" : "in that second"}, as its flow log says.`]
      : []),
    // In a second one may also have come after the other.
    ...(isShared
      ? [`Several tenants used the port then${isExact ? ", towards different destinations" : ""}. ${advice}`]
      : []),
    ...told,
    ...listed(flows),
    ...(ended.length > 0 ? ["Shortly before that had ended:"] : []),
    ...listed(ended),
  ];
}

function listed(flows: readonly LoggedFlow[]): string[] {
  return flows.map((flow) => `- ${flowText(flow)}`);
}

function translationText({ names, startMs, endMs }: LoggedTranslation, host: string): string {
  const until = endMs === null ? "and still was when it was asked" : `until ${timeText(endMs)}`;
  return (
    `The port was translated for senders of ${names.join(", ")} on ${host}, by its kernel, from ${timeText(startMs)} ${until}. ` +
    `Which of them used it no log of ipshard says: look at what ${host} keeps of the events of its tracking table (conntrack -E, ulogd).`
  );
}

function flowText({
  protocol,
  tenant,
  senders,
  destinations,
  startMs,
  endMs,
  cutOffMs,
  sent,
  received,
}: LoggedFlow): string {
  const who = tenant === "" ? "the host itself, to try its uplink" : `tenant ${tenant}`;
  const clients = senders
    .filter(({ client }) => client !== null)
    .map(
      ({ client, clientAddress }) =>
        `client ${client}${clientAddress === null ? "" : ` at ${clientAddress}`}`,
    );
  const to = destinations.length === 0 ? "" : ` to ${destinations.join(", ")}`;
  const from = [who, ...clients].join(", ");
  const span = `from ${timeText(startMs)} ${endText(endMs, cutOffMs)}`;
  const bytes = sent === null || received === null ? "" : `, ${sent} bytes sent and ${received} received`;
  return `${protocol}${to}: ${from}; ${span}${bytes}`;
}

function endText(endMs: number | null, cutOffMs: number | null): string {
  if (endMs !== null) return `until ${timeText(endMs)}`;
  if (cutOffMs !== null) return `until its process died, which was before ${timeText(cutOffMs)}`;
  return "and not over when the host was asked";
}

function placeText(ip: string, port: number): string {
  return ip.includes(":") ? `[${ip}]:${port}` : `${ip}:${port}`;
}

function timeText(atMs: number): string {
  return new Date(atMs).toISOString();
}

/** A second, if all of it is meant. */
function whenText(atMs: number, throughMs: number): string {
  return throughMs === atMs
    ? `at ${timeText(atMs)}`
    : `in the second from ${timeText(atMs).replace(".000Z", "Z")}`;
}

function agoText(ms: number): string {
  return ms < 120_000 ? `${ms / 1_000} s` : `${Math.round(ms / 60_000)} min`;
}

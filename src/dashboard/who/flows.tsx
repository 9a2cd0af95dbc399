/** What a host's flow log knows of a port at a time. */
import type { HostAnswer } from "../../api/holder-schemas.ts";
import { Mark } from "../parts/bits.tsx";
import { type PlainColumn, PlainTable } from "../parts/plain-table.tsx";
import { instant } from "../parts/words.ts";

const STATES: Readonly<Record<HostAnswer["state"], string>> = {
  answered: "answered",
  "host-unknown": "The pool does not know this host any more, so its flow log cannot be asked.",
  unreachable: "The gateway of the host does not answer, so its flow log cannot be asked.",
  refused: "The host refused to say.",
};

const COLUMNS: readonly PlainColumn[] = [
  { name: "Protocol" },
  { name: "Tenant" },
  { name: "Clients", kind: "long" },
  { name: "Destinations", kind: "long" },
  { name: "From" },
  { name: "Until" },
];

/** The table of flows, or why there is none. */
export function FlowsOf({ answer }: { readonly answer: HostAnswer }) {
  const { state, detail, log } = answer;
  if (log === null)
    return (
      <p>
        <Mark level="note">
          {STATES[state]} {detail}
        </Mark>
      </p>
    );
  if (log.flows.length === 0)
    return (
      <p class="faint">Its flow log names no flow: none used the port then, or flows are not logged there.</p>
    );
  return (
    <PlainTable
      caption="Flows in its log"
      columns={COLUMNS}
      rows={log.flows.map((flow) => [
        flow.protocol,
        flow.tenant === "" ? "the host itself" : flow.tenant,
        flow.senders
          .map(({ client, clientAddress }) =>
            [client, clientAddress].filter((each) => each !== null).join(" from "),
          )
          .join(", ") || "–",
        flow.destinations.join(", ") || "not logged",
        instant(flow.startMs),
        flow.endMs === null ? "it goes on, or its end is not known" : instant(flow.endMs),
      ])}
    />
  );
}

/** What a host's flow log knows of a port at a time. */
import type { HostAnswer } from "../../api/holder-schemas.ts";
import { Mark } from "../parts/bits.tsx";
import { instant } from "../parts/words.ts";

const STATES: Readonly<Record<HostAnswer["state"], string>> = {
  answered: "answered",
  "host-unknown": "The pool does not know this host any more, so its flow log cannot be asked.",
  unreachable: "The gateway of the host does not answer, so its flow log cannot be asked.",
  refused: "The host refused to say.",
};

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
    <div class="table-box" role="region" aria-label="Flows, scrollable" tabIndex={0}>
      <table class="numbers">
        <caption>Flows in its log</caption>
        <thead>
          <tr>
            <th scope="col">Protocol</th>
            <th scope="col">Tenant</th>
            <th scope="col">Clients</th>
            <th scope="col">Destinations</th>
            <th scope="col">From</th>
            <th scope="col">Until</th>
          </tr>
        </thead>
        <tbody>
          {log.flows.map((flow, at) => (
            <tr key={at}>
              <th scope="row">{flow.protocol}</th>
              <td>{flow.tenant === "" ? "the host itself" : flow.tenant}</td>
              <td class="long">
                {flow.senders
                  .map(({ client, clientAddress }) =>
                    [client, clientAddress].filter((each) => each !== null).join(" from "),
                  )
                  .join(", ") || "–"}
              </td>
              <td class="long">{flow.destinations.join(", ") || "not logged"}</td>
              <td>{instant(flow.startMs)}</td>
              <td>{flow.endMs === null ? "it goes on, or its end is not known" : instant(flow.endMs)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** The way of a request, drawn: from the page to the destination, and how the reply comes back. */
import { Mark } from "../parts/bits.tsx";
import { took } from "../parts/words.ts";
import { type Attempt, type Hop, wayOf } from "./attempt.ts";

interface WayProps {
  readonly attempt: Attempt;
  readonly url: string;
  readonly roundTripMs: number;
}

const SAID: Readonly<Record<Hop["state"], string>> = {
  passed: "passed",
  refused: "refused here",
  unreached: "not reached",
};

/** The chain, and below it what came of the request. */
export function Way({ attempt, url, roundTripMs }: WayProps) {
  const hops = wayOf(attempt, url, roundTripMs);
  const longest = Math.max(1, ...hops.flatMap(({ times }) => times.map(([, ms]) => ms)));
  return (
    <section class="card" aria-labelledby="way-title" data-testid="way">
      <h2 id="way-title">The way of the request</h2>
      <Outcome attempt={attempt} />
      <ol class="way">
        {hops.map((hop, at) => (
          <li key={at} class={`hop ${hop.state}`}>
            <strong class="hop-name">{hop.name}</strong>
            <span class="hop-state">{SAID[hop.state]}</span>
            {hop.lines.map((line) => (
              <span key={line} class="hop-line">
                {line}
              </span>
            ))}
            {hop.times.map(([what, ms]) => (
              <span key={what} class="hop-time">
                <span>
                  {what} <strong>{took(ms)}</strong>
                </span>
                <span class="hop-bar" aria-hidden="true">
                  <span style={{ width: `${Math.max(2, (ms / longest) * 100)}%` }} />
                </span>
              </span>
            ))}
          </li>
        ))}
      </ol>
      <Back attempt={attempt} />
    </section>
  );
}

function Outcome({ attempt }: { readonly attempt: Attempt }) {
  const { refusal, answered, status, tookMs } = attempt;
  if (refusal === null)
    return (
      <p>
        <Mark level={answered ? "good" : "short"}>
          {answered ? `Answered with ${status ?? "a status that is not told"}` : "Not answered"} after{" "}
          {took(tookMs)}.
        </Mark>
      </p>
    );
  return (
    <div class="trouble" role="alert">
      <p>
        <strong>{refusal.title}</strong> {refusal.detail} <code>{refusal.code}</code>
      </p>
      {refusal.remedy !== "" && <p data-testid="remedy">What would mend it: {refusal.remedy}</p>}
    </div>
  );
}

/** By whom the reply would be steered. */
function Back({ attempt: { routers, egress } }: { readonly attempt: Attempt }) {
  if (egress === null) return null;
  if (routers.length === 0)
    return <p class="faint">No router steers the reply: the network brings it to {egress.host} by itself.</p>;
  return (
    <>
      <h3>Routers that a reply would come by</h3>
      <ul class="plain">
        {routers.map(({ router, live, knows, acknowledged }) => (
          <li key={router}>
            <Mark level={!live ? "bad" : knows ? "good" : "short"}>
              <strong>{router}</strong>{" "}
              {!live
                ? "is not heard"
                : knows
                  ? `knows that the port is ${egress.host}'s`
                  : "does not know the port yet"}
              {acknowledged !== null && `, has applied change ${acknowledged}`}
            </Mark>
          </li>
        ))}
      </ul>
    </>
  );
}

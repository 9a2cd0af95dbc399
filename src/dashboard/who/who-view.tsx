/** Who was it: which host held a port at a time, and what its flow log knows. */
import { useEffect, useState } from "preact/hooks";
import type { HeldLease, Holders } from "../../api/holder-schemas.ts";
import { PORT_END } from "../../core/port-block.ts";
import { Facts, Field, Mark, Trouble } from "../parts/bits.tsx";
import { instant, ports } from "../parts/words.ts";
import { callEdge, wordsOf } from "../session/edge-call.ts";
import { fragmentOf, type Route } from "../shell/route.ts";
import { FlowsOf } from "./flows.tsx";

type Asked = Extract<Route, { readonly view: "who" }>;
type Outcome =
  | { readonly state: "none" | "busy" }
  | { readonly state: "failed"; readonly why: string }
  | { readonly state: "told"; readonly holders: Holders };

/** The view. A question is in the fragment, so it can be given on. */
export function WhoView({ route }: { readonly route: Asked }) {
  const [outcome, setOutcome] = useState<Outcome>({ state: "none" });
  const [askedCount, askAgain] = useState(0);
  const { ip, port, at } = route;
  useEffect(() => {
    if (ip === "" || port === "") return;
    const query = new URLSearchParams({ ip, port, ...(at === "" ? {} : { at }) });
    let isLast = true;
    setOutcome({ state: "busy" });
    callEdge<Holders>("GET", `/v1/holders?${query}`).then(
      (holders) => isLast && setOutcome({ state: "told", holders }),
      (fault: unknown) => isLast && setOutcome({ state: "failed", why: wordsOf(fault) }),
    );
    return () => {
      isLast = false;
    };
  }, [ip, port, at, askedCount]);
  return (
    <>
      <div class="view-head">
        <h1>Who was it</h1>
        <p class="faint">Which host had a port at a time, and for whom.</p>
      </div>
      <form
        class="card"
        onSubmit={(event) => {
          event.preventDefault();
          const to = fragmentOf(askedIn(new FormData(event.currentTarget)));
          // The same question asked again is asked again.
          if (to === location.hash) askAgain((count) => count + 1);
          location.hash = to;
        }}
      >
        <div class="form-row">
          <Field title="Address" note="As hosts have it, or as the Internet sees it.">
            <input name="ip" required defaultValue={ip} spellcheck={false} autocomplete="off" />
          </Field>
          <Field title="Port">
            <input name="port" type="number" min={0} max={PORT_END - 1} required defaultValue={port} />
          </Field>
          <Field title="Time" note="By your clock; now, if nothing is said.">
            <input name="at" type="datetime-local" step={1} defaultValue={localText(at)} />
          </Field>
        </div>
        <p class="buttons">
          <button type="submit" class="main-button" disabled={outcome.state === "busy"}>
            Search
          </button>
        </p>
      </form>
      <div aria-live="polite" data-testid="who-answer">
        {outcome.state === "busy" && <p class="faint loading">Asking …</p>}
        {outcome.state === "failed" && <Trouble>{outcome.why}</Trouble>}
        {outcome.state === "told" && <Told holders={outcome.holders} />}
      </div>
    </>
  );
}

function Told({ holders: told }: { readonly holders: Holders }) {
  const { ip, port, atMs, state, reason, holders, before, after, knownSinceMs } = told;
  return (
    <section class="card" aria-labelledby="who-title">
      <h2 id="who-title">
        {ip} port {port} at {instant(atMs)}
      </h2>
      {state === "held" ? (
        holders.map((holder) => (
          <div key={holder.epoch} class="holder">
            <p>
              <Mark level="good">
                <strong>{holder.host}</strong> held it.
              </Mark>
            </p>
            <LeaseFacts lease={holder} />
            <FlowsOf answer={holder.flows} />
          </div>
        ))
      ) : (
        <>
          <p>
            <Mark level={state === "nobody" ? "note" : "short"}>{REASONS[reason ?? ""] ?? state}</Mark>
          </p>
          {before !== null && (
            <>
              <h3>Before that</h3>
              <p>
                <strong>{before.host}</strong>
              </p>
              <LeaseFacts lease={before} />
            </>
          )}
          {after !== null && (
            <>
              <h3>After that</h3>
              <p>
                <strong>{after.host}</strong>
              </p>
              <LeaseFacts lease={after} />
            </>
          )}
        </>
      )}
      <p class="faint">Everything is known since {instant(knownSinceMs)}.</p>
    </section>
  );
}

const REASONS: Readonly<Record<string, string>> = {
  "port-reserved": "Nobody: this port is never leased.",
  "not-leased": "Nobody: no host held this port then.",
  "before-history": "Not known: that was before the address kept its past, or it is forgotten.",
  "not-yet": "Not known: that time has not come yet.",
};

function LeaseFacts({ lease }: { readonly lease: HeldLease }) {
  const { pool, firstPort, lastPort, epoch, sinceMs, untilMs, end } = lease;
  return (
    <Facts
      facts={[
        ["Pool", pool],
        ["Block", ports(firstPort, lastPort)],
        ["Epoch", epoch],
        ["Since", instant(sinceMs)],
        ["Until", untilMs === null ? "it goes on" : `${instant(untilMs)}${end === null ? "" : ` (${end})`}`],
      ]}
    />
  );
}

function askedIn(data: FormData): Asked {
  const text = (name: string): string => {
    const value = data.get(name);
    return typeof value === "string" ? value.trim() : "";
  };
  const at = text("at");
  return { view: "who", ip: text("ip"), port: text("port"), at: at === "" ? "" : asTold(at) };
}

/** With a fraction only where one was given: without it, all of that second is asked about. */
function asTold(local: string): string {
  const date = new Date(local);
  return Number.isNaN(date.getTime()) ? "" : date.toISOString().replace(/\.000Z$/, "Z");
}

/** As the field for local times takes it. */
function localText(at: string): string {
  const date = new Date(at);
  return at === "" || Number.isNaN(date.getTime()) ? "" : instant(date.getTime()).replace(" ", "T");
}

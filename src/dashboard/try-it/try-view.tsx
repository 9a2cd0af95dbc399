/** Sends a request through the pool, and shows its way. */
import { useState } from "preact/hooks";
import { Field, Trouble } from "../parts/bits.tsx";
import { type PlainColumn, PlainTable } from "../parts/plain-table.tsx";
import { callEdge, wordsOf } from "../session/edge-call.ts";
import type { Session } from "../session/session.ts";
import type { Attempt } from "./attempt.ts";
import { Way } from "./way.tsx";

const METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] as const;

type Outcome =
  | { readonly state: "none" | "busy" }
  | { readonly state: "failed"; readonly why: string }
  | { readonly state: "told"; readonly attempt: Attempt; readonly url: string; readonly roundTripMs: number };

/** The view. */
export function TryView({ pool, session }: { readonly pool: string; readonly session: Session }) {
  const [outcome, setOutcome] = useState<Outcome>({ state: "none" });
  const send = async (form: HTMLFormElement): Promise<void> => {
    const asked = askedIn(new FormData(form));
    setOutcome({ state: "busy" });
    const beganMs = performance.now();
    try {
      const attempt = await callEdge<Attempt>("POST", "/dashboard/try", { pool, ...asked });
      setOutcome({ state: "told", attempt, url: asked.url, roundTripMs: performance.now() - beganMs });
    } catch (fault) {
      setOutcome({ state: "failed", why: wordsOf(fault) });
    }
  };
  return (
    <>
      <div class="view-head">
        <h1>Try it</h1>
        <p class="faint">A request through the pool {pool}, sent by the edge as for a client.</p>
      </div>
      {session.role === "viewer" ? (
        <p class="card">Who may only read sends nothing from here.</p>
      ) : (
        <form
          class="card try-form"
          onSubmit={(event) => {
            event.preventDefault();
            void send(event.currentTarget);
          }}
        >
          <div class="form-row">
            <Field title="Method">
              <select name="method">
                {METHODS.map((method) => (
                  <option key={method}>{method}</option>
                ))}
              </select>
            </Field>
            <Field title="URL">
              <input name="url" type="url" required placeholder="https://example.com/" maxLength={4096} />
            </Field>
          </div>
          <div class="form-row">
            <Field title="Selection" note={'As in the egress header: session="cart-42", country="de"'}>
              <input name="selection" maxLength={1024} spellcheck={false} autocomplete="off" />
            </Field>
            <Field title="Tenant" note="Yourself, if nothing is said.">
              <input name="tenant" maxLength={128} spellcheck={false} autocomplete="off" />
            </Field>
          </div>
          <Field title="Body">
            <textarea name="body" rows={2} spellcheck={false} />
          </Field>
          <p class="buttons">
            <button type="submit" class="main-button" disabled={outcome.state === "busy"}>
              {outcome.state === "busy" ? "Under way …" : "Send"}
            </button>
          </p>
        </form>
      )}
      <div aria-live="polite">
        {outcome.state === "failed" && <Trouble>{outcome.why}</Trouble>}
        {outcome.state === "told" && <Way {...outcome} />}
      </div>
      {outcome.state === "told" && <Answer attempt={outcome.attempt} />}
    </>
  );
}

const HEADER_COLUMNS: readonly PlainColumn[] = [{ name: "Header" }, { name: "Value", kind: "long" }];

function Answer({ attempt: { headers, body, requestId } }: { readonly attempt: Attempt }) {
  return (
    <section class="card" aria-labelledby="answer-title">
      <h2 id="answer-title">What came back</h2>
      <p class="faint">
        Request <code>{requestId}</code>
      </p>
      {headers.length > 0 && (
        <PlainTable caption="Headers" isCaptionHidden columns={HEADER_COLUMNS} rows={headers} />
      )}
      <pre class="body" tabIndex={0} role="region" aria-label="Body" data-testid="answer-body">
        {body === "" ? "(no body)" : body}
      </pre>
    </section>
  );
}

/** What is left empty is not said. */
function askedIn(data: FormData): { readonly url: string; readonly method: string } & Record<string, string> {
  const text = (name: string): string => {
    const value = data.get(name);
    return typeof value === "string" ? value.trim() : "";
  };
  const more = Object.fromEntries(
    ["selection", "tenant", "body"].map((name) => [name, text(name)]).filter(([, value]) => value !== ""),
  ) as Record<string, string>;
  return { ...more, url: text("url"), method: text("method") };
}

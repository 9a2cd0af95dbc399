/**
 * One line for each decision about a flow, with the same names everywhere: `decision`, `requestId`, `flow`,
 * `tenant`, `client`, `pool`, `ip`, `port`, `status`, `code`, `tookMs`. The edge's lines have them too. [MT12]
 *
 * A request is decided when its answer begins, anything else when it is admitted; and both when they are
 * refused, or break off.
 */
import type { Logger } from "pino";
import type { Admission } from "./admission/admission.ts";
import { logFields } from "./egress/flow-context.ts";
import type { DecisionLevel } from "./flow-log/flow-log-options.ts";
import type { RefusalCounts } from "./traffic/clients/refusals.ts";
import type { Outgoing } from "./traffic/origins/outgoing.ts";
import type { OnFirstByte } from "./traffic/origins/request-watch.ts";

/** Whose decisions they are. */
export interface DecisionParts {
  readonly admission: Admission;
  readonly outgoing: Outgoing;
  readonly refusalCounts: RefusalCounts;
  readonly log: Logger;
}

/** Has them logged; a line that cannot be written costs no flow anything. [AG6] */
export function logDecisions(level: DecisionLevel, parts: DecisionParts): void {
  const { admission, outgoing, refusalCounts, log } = parts;
  if (level === "none") return;
  refusalCounts.onRefused = (code, context, requestId) => {
    const flow = context === null ? (requestId === null ? {} : { requestId }) : logFields(context);
    log.info({ decision: "refused", ...flow, code }, "a flow was refused");
  };
  if (level === "refused") return;
  admission.onAdmitted = (context, kind) => {
    if (kind === "request") return;
    log.info({ decision: "admitted", kind, ...logFields(context) }, "a flow was admitted");
  };
  const onAnswer: OnFirstByte = (tookMs, context, status, port) => {
    const fields = { ...logFields(context), port, status, tookMs: Math.round(tookMs) };
    log.info({ decision: "answered", ...fields }, "a request was answered");
  };
  outgoing.onFirstByte = onAnswer;
}

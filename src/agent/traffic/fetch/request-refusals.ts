/** What a request needs of its listener to be refused. */
import type { Problem } from "../../../core/problems.ts";
import type { FlowContext } from "../../egress/flow-context.ts";
import type { ClientRequest, ClientResponse } from "../clients/client-exchange.ts";

/** How a listener says no to its clients. */
export interface RequestRefusals {
  /** Answers the client with a problem; nothing has been sent to it yet. */
  refuse(
    request: ClientRequest,
    response: ClientResponse,
    problem: Problem,
    fault: unknown,
    context: FlowContext,
  ): void;
  /** Counts what the client cannot be told any more. */
  count(problem: Problem, fault: unknown, context: FlowContext): void;
}

/** How a listener says no: every refusal has a name and is counted. [GW1] */
import type { ClientRequest, ClientResponse } from "./client-exchange.ts";
import type { ServerHttp2Stream } from "node:http2";
import type { Duplex } from "node:stream";
import type { Problem, ProblemCode } from "../../../core/problems.ts";
import { EGRESS_REQUEST_ID } from "../../../wire/header-names.ts";
import { readRequestId } from "../../../wire/request-id.ts";
import { problemOf } from "../../egress/faults.ts";
import type { FlowContext } from "../../egress/flow-context.ts";
import { endStreamWithProblem, endWithProblem, sendProblem, type Speaker } from "./problem-reply.ts";

/** Told of every fault that nobody foresaw, and of the flow that it ended, if there was one yet. */
export type OnListenerFault = (fault: unknown, context: FlowContext | null) => void;

/** Told of a refusal, of its flow if there was one yet, and of the request's name if that was told. */
export type OnRefused = (code: ProblemCode, context: FlowContext | null, requestId: string | null) => void;

/** How often each refusal was said, by all listeners of a process. */
export class RefusalCounts extends Map<ProblemCode, number> {
  /** For whoever logs them, too. [MT12] */
  onRefused: OnRefused | null = null;
}

/** The refusals of one listener. */
export class Refusals {
  readonly #speaker: Speaker;
  readonly #onFault: OnListenerFault;
  readonly #counts: RefusalCounts;

  constructor(speaker: Speaker, onFault: OnListenerFault, counts = new RefusalCounts()) {
    this.#speaker = speaker;
    this.#onFault = onFault;
    this.#counts = counts;
  }

  /** How often each was said, for the status. */
  counts(): Readonly<Record<string, number>> {
    return Object.fromEntries(this.#counts);
  }

  /** Answers a request with a problem; one whose answer has begun is broken off. */
  refuse(
    request: ClientRequest,
    response: ClientResponse,
    problem: Problem,
    fault: unknown = null,
    context: FlowContext | null = null,
  ): void {
    this.count(
      problem,
      fault,
      context,
      readRequestId(request.headers[EGRESS_REQUEST_ID] as string | undefined),
    );
    if (response.headersSent || response.destroyed) response.destroy();
    else sendProblem(request, response, problem, this.#speaker, context?.requestId, context?.timing);
  }

  /** Answers on a bare socket, and ends it. */
  refuseOn(
    socket: Duplex,
    problem: Problem,
    fault: unknown = null,
    context: FlowContext | null = null,
  ): void {
    this.count(problem, fault, context);
    endWithProblem(socket, problem, this.#speaker, context?.requestId);
  }

  /** Answers on a stream of HTTP/2; one whose answer has begun is broken off. */
  refuseStream(
    stream: ServerHttp2Stream,
    problem: Problem,
    fault: unknown = null,
    context: FlowContext | null = null,
  ): void {
    this.count(problem, fault, context);
    endStreamWithProblem(stream, problem, this.#speaker, context?.requestId);
  }

  /** Counts what the client cannot be told any more. */
  count(
    problem: Problem,
    fault: unknown,
    context: FlowContext | null = null,
    requestId: string | null = null,
  ): void {
    this.#counts.set(problem.code, (this.#counts.get(problem.code) ?? 0) + 1);
    this.#counts.onRefused?.(problem.code, context, requestId);
    context?.running.watch?.failed(problem.code);
    if (problem.code === "internal-fault") this.#onFault(fault, context);
  }

  /** Counts a fault that has ended nothing, or has ended it already. */
  readonly onFault = (fault: unknown): void => this.count(problemOf(fault), fault);
}

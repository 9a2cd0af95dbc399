/** What a gateway tells of its host, and of uploads: everything but the fetch itself. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { CONNECT_PATH } from "../../../wire/header-names.ts";
import { FLOWS_PATH } from "../../../wire/flow-answer.ts";
import type { Flow } from "../../../process/flow.ts";
import type { Identity } from "../../../core/identity.ts";
import type { Outcome } from "../../../core/outcome.ts";
import type { Problem } from "../../../core/problems.ts";
import type { Admission } from "../../admission/admission.ts";
import type { WayOfAsking } from "../../admission/client-access.ts";
import type { PortBinder } from "../../egress/port-binder.ts";
import { sendProblem } from "../clients/problem-reply.ts";
import { uploadAt, type Uploads } from "../clients/uploads.ts";
import type { RequestHeaders } from "../http/forwarded-headers.ts";
import type { Outgoing } from "../origins/outgoing.ts";
import { addressStatus, lackOf, sendJson } from "./gateway-status.ts";
import { type FlowsAt, FlowQuestions } from "./flow-questions.ts";
import { ATTRIBUTING, FETCHING, LOOKING, tokenOf } from "./gateway-token.ts";
import { isWholeUrl, TAKEN_FOR_A_PROXY } from "../clients/request-head.ts";
import type { Refusals } from "../clients/refusals.ts";
import type { Visitor } from "../clients/visitors.ts";

const HOST_PATHS: ReadonlySet<string> = new Set(["/health", "/v1/status", FLOWS_PATH]);

/** Makes the status of a host of what one of its processes says of itself. */
export type DescribeHost = (own: Record<string, unknown>) => Promise<Record<string, unknown>>;

/** Whom the routes tell of. */
export interface HostRoutesOptions {
  /** Name of this host. */
  readonly host: string;
  readonly admission: Admission;
  readonly binder: PortBinder;
  readonly outgoing: Outgoing;
  readonly uploads: Uploads;
  readonly refusals: Refusals;
  /** Requests and WebSockets under way. */
  readonly runningCount: () => number;
  /** Makes the status of the host of what this process says of itself. */
  readonly describe: DescribeHost | undefined;
  /** Searches the flow log of the host. */
  readonly flowsAt: FlowsAt | undefined;
}

/** What is read of a request already. */
export interface ReadRequest {
  readonly path: string;
  readonly query: string;
  readonly headers: RequestHeaders;
  /** On whose connection. */
  readonly visitor: Visitor;
}

/** Serves every route but the fetch. */
export class HostRoutes {
  readonly #options: HostRoutesOptions;
  readonly #questions: FlowQuestions;

  constructor(options: HostRoutesOptions) {
    this.#options = options;
    this.#questions = new FlowQuestions(options.host, options.flowsAt);
  }

  /** Answers a request for a path, as part of its flow. */
  serve(
    request: IncomingMessage,
    response: ServerResponse,
    read: ReadRequest,
    flow: Flow,
  ): Promise<void> | void {
    const { refusals } = this.#options;
    const { path } = read;
    const upload = uploadAt(path);
    if (path === CONNECT_PATH) {
      refusals.refuse(request, response, { code: "upgrade-required" });
    } else if (upload === null && !HOST_PATHS.has(path)) {
      const detail = isWholeUrl(request) ? { detail: TAKEN_FOR_A_PROXY } : {};
      refusals.refuse(request, response, { code: "route-unknown", ...detail });
    } else if (request.method !== "GET" && request.method !== "HEAD") {
      refusals.refuse(request, response, { code: "method-unsupported" });
    } else if (upload !== null) {
      return this.#sendUploadStatus(request, response, upload, read, flow);
    } else if (path === "/health") {
      this.#sendHealth(request, response);
    } else if (path === FLOWS_PATH) {
      return this.#sendFlows(request, response, read);
    } else {
      return this.#sendStatus(request, response, read);
    }
  }

  async #identify({ headers, visitor }: ReadRequest, way: WayOfAsking): Promise<Outcome<Identity, Problem>> {
    const identity = await this.#options.admission.identify(tokenOf(headers, way), way);
    visitor.showed(identity.ok);
    return identity;
  }

  /** Whether this host can serve, and if not what it lacks. [GW15] */
  #sendHealth(request: IncomingMessage, response: ServerResponse): void {
    const { binder, admission } = this.#options;
    const lack = lackOf(binder, admission.isDraining, admission.hasPolicy);
    // Whoever asks does not ask for an egress: it is no refusal, and not counted. It may be a stranger.
    if (lack === null) sendJson(response, { status: "ok" });
    else sendProblem(request, response, lack, { host: null, isProxy: false });
  }

  async #sendUploadStatus(
    request: IncomingMessage,
    response: ServerResponse,
    upload: string,
    read: ReadRequest,
    flow: Flow,
  ): Promise<void> {
    const { refusals, uploads } = this.#options;
    const identity = await this.#identify(read, FETCHING);
    if (!identity.ok) return refusals.refuse(request, response, identity.refusal);
    uploads.answer(upload, identity.value, response, flow);
  }

  async #sendStatus(request: IncomingMessage, response: ServerResponse, read: ReadRequest): Promise<void> {
    const { refusals, describe } = this.#options;
    const identity = await this.#identify(read, LOOKING);
    if (!identity.ok) return refusals.refuse(request, response, identity.refusal);
    const own = this.status();
    sendJson(response, describe === undefined ? own : await describe(own));
  }

  /** Who used a port at a time: only the edge may ask, with a token for this host alone. [AT6] */
  async #sendFlows(request: IncomingMessage, response: ServerResponse, read: ReadRequest): Promise<void> {
    const { refusals } = this.#options;
    const identity = await this.#identify(read, ATTRIBUTING);
    const answer = identity.ok ? await this.#questions.answer(identity.value, read.query) : identity;
    if (!answer.ok) return refusals.refuse(request, response, answer.refusal);
    sendJson(response, answer.value);
  }

  /** What this process says of itself. */
  status(): Record<string, unknown> {
    const { admission, refusals, host, outgoing, binder } = this.#options;
    return {
      host,
      pool: admission.pool,
      draining: admission.isDraining,
      running: this.#options.runningCount(),
      connections: outgoing.size,
      refusals: refusals.counts(),
      addresses: [...binder.addresses()].map(addressStatus),
    };
  }
}

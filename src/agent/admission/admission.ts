/**
 * What admits a flow, whichever listener it came to:
 *
 *     token → who asks → draining? → what holds for it → within its limits? → destination → address → the flow's context
 *
 * A listener reads the token, the selection and the destination, and renders refusals, in its own
 * protocol. What is permitted is decided here, and every refusal is of the one table. [GW7] [GW8]
 */
import { isIP } from "node:net";
import type { Identity } from "../../core/identity.ts";
import { ok, type Outcome, refuse } from "../../core/outcome.ts";
import type { Problem } from "../../core/problems.ts";
import type { TokenVerifier } from "../../wire/tokens.ts";
import { unmapped } from "../../policy/embedded-addresses.ts";
import type { FlowContext } from "../egress/flow-context.ts";
import { RequestTiming } from "../egress/request-timing.ts";
import type { PortBinder } from "../egress/port-binder.ts";
import type { BeginningFlow, FlowKind, TrackedFlow } from "../tenants/running-flows.ts";
import type { Standing, TenantBook } from "../tenants/tenant-book.ts";
import { AddressChoice, type FamiliesOf } from "./address-choice.ts";
import { ClientAccess, type WayOfAsking } from "./client-access.ts";

export type { BeginningFlow } from "../tenants/running-flows.ts";

/** What admission needs of its host. */
export interface AdmissionOptions {
  readonly pool: string;
  readonly binder: PortBinder;
  /** What holds for whom. */
  readonly tenants: TenantBook;
  /** Knows the edge's keys; its owner keeps them fresh. */
  readonly verifier: TokenVerifier;
  readonly familiesOf?: FamiliesOf;
}

/** What a listener has read of a request for a way out. */
export interface Asked<Destination> {
  /** As `identify` has said. */
  readonly client: Outcome<Identity, Problem>;
  /** The pool, address and session that are wanted, as in the field `egress`; null for none. */
  readonly selection: string | null;
  /** What it is called, if it has a name. */
  readonly requestId?: string | null;
  /** Of the client's connection, if that is known. */
  readonly clientAddress?: string | undefined;
  /** Read only when it is needed, so not for those who may not ask. */
  readonly destination: () => Outcome<Destination, Problem>;
  /** What it would be, and as long as what it lasts. */
  readonly flow: BeginningFlow;
}

/** A flow that may leave, and where it goes. */
export interface Admitted<Destination> {
  readonly context: FlowContext;
  readonly destination: Destination;
}

type Soon<Value> = Value | Promise<Value>;

const OF_RETIRED: Problem = { code: "token-signature-invalid" };

/** One for all listeners of a host. */
export class Admission {
  /** Admits no new flows; those that run go on. */
  isDraining = false;
  /** Told of every flow that is admitted. [MT12] */
  onAdmitted: ((context: FlowContext, kind: FlowKind) => void) | null = null;
  readonly pool: string;
  readonly #tenants: TenantBook;
  readonly #verifier: TokenVerifier;
  readonly #access: ClientAccess;
  readonly #choice: AddressChoice;
  #flowCount = 0;
  /** Flows that were admitted, by kind. */
  readonly flowCounts: Record<FlowKind, number> = { request: 0, tunnel: 0, association: 0 };

  constructor({ pool, binder, tenants, verifier, familiesOf }: AdmissionOptions) {
    this.pool = pool;
    this.#tenants = tenants;
    this.#verifier = verifier;
    this.#access = new ClientAccess(verifier, pool, (identity) => tenants.isRevoked(identity));
    this.#choice = new AddressChoice(binder, pool, familiesOf);
    // A key that was retired takes along what runs by tokens that it signed. [EL4]
    verifier.onTrust = () =>
      tenants.meters.cutThose((identity) => (verifier.isOfRetired(identity) ? OF_RETIRED : null));
  }

  /** Whether there is anything by which to decide who may have a flow. [PY6] */
  get hasPolicy(): boolean {
    return this.#tenants.version !== null;
  }

  /** Who asks. Without a promise when the token is known, as of every request but its first. */
  identify(token: Outcome<string, Problem>, way: WayOfAsking): Soon<Outcome<Identity, Problem>> {
    return token.ok ? this.#access.identify(token.value, way) : token;
  }

  /** Admits one flow. Without a promise unless the destination's families have to be found out. [RS5] */
  admit<Destination extends { readonly hostname: string }>(
    asked: Asked<Destination>,
  ): Soon<Outcome<Admitted<Destination>, Problem>> {
    if (!asked.client.ok) return asked.client;
    const { value: client } = asked.client;
    if (this.isDraining) return refuse({ code: "draining" });
    const standing = this.#tenants.standingOf(client);
    if (!standing.ok) return standing;
    // Before anything else is done for it, so that what is too much costs little. [LI1]
    const begun = this.#tenants.begin(client, standing.value, asked.flow);
    if (begun instanceof Promise) return begun.then((later) => this.#begunLater(client, later, asked));
    return this.#begun(client, standing.value, begun, asked);
  }

  /** What held when it began to wait may hold no more: nothing that ran was looked at, and it did not run. [LI8] */
  #begunLater<Destination extends { readonly hostname: string }>(
    client: Identity,
    begun: Outcome<TrackedFlow, Problem>,
    asked: Asked<Destination>,
  ): Soon<Outcome<Admitted<Destination>, Problem>> {
    const standing = this.#tenants.standingOf(client);
    if (!standing.ok) return standing;
    if (this.#verifier.isOfRetired(client)) return refuse(OF_RETIRED);
    return this.#begun(client, standing.value, begun, asked);
  }

  #begun<Destination extends { readonly hostname: string }>(
    client: Identity,
    standing: Standing,
    begun: Outcome<TrackedFlow, Problem>,
    asked: Asked<Destination>,
  ): Soon<Outcome<Admitted<Destination>, Problem>> {
    if (!begun.ok) return begun;
    const learning = this.#choice.prepare(asked.selection, () => {
      const destination = asked.destination();
      if (!destination.ok) return null;
      const { hostname } = destination.value;
      return nameRefusal(standing, hostname) === null ? hostname : null;
    });
    if (learning === null) return this.#admit(client, standing, begun.value, asked);
    return learning.then(() => this.#admit(client, standing, begun.value, asked));
  }

  #admit<Destination extends { readonly hostname: string }>(
    client: Identity,
    standing: Standing,
    running: TrackedFlow,
    { selection, requestId = null, clientAddress, destination: read, flow }: Asked<Destination>,
  ): Outcome<Admitted<Destination>, Problem> {
    const destination = read();
    if (!destination.ok) return destination;
    const { hostname } = destination.value;
    const refusedName = nameRefusal(standing, hostname);
    if (refusedName !== null) return refuse(refusedName);
    const permittedIps = client.restrictions?.ips ?? null;
    const address = this.#choice.choose(selection, hostname, permittedIps);
    if (!address.ok) return address;
    this.#flowCount += 1;
    this.flowCounts[flow.kind] += 1;
    const { tenant, policy, meter } = standing;
    const context: FlowContext = {
      id: this.#flowCount,
      requestId,
      client: client.subject,
      clientAddress: clientAddress === undefined ? null : unmapped(clientAddress),
      pool: this.pool,
      address: address.value,
      tenant,
      policy,
      meter,
      running,
      ...(client.isTimed === true ? { timing: new RequestTiming() } : {}),
    };
    this.onAdmitted?.(context, flow.kind);
    return ok({ context, destination: destination.value });
  }
}

/** No name server is asked for what may not be reached anyway: questions, too, carry things out. [DE13] */
function nameRefusal({ policy }: Standing, hostname: string): Problem | null {
  if (hostname.startsWith("[") || isIP(hostname) !== 0) return null;
  const refusal = policy.refusalOfName({ name: hostname, port: null });
  return refusal && { code: refusal.code, detail: `${hostname} is ${refusal.reason}.` };
}

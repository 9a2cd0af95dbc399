/** The end of a host that is gone for good, by its operator's word. [SM5] */
import type { ChangeAuthor } from "../../src/core/audit.ts";
import { ok, type Outcome, refuse } from "../../src/core/outcome.ts";
import type { AuditLog } from "../audit/audit-log.ts";
import type { AddressQuestions } from "./address-questions.ts";
import type { HostAssignments } from "./host-assignments.ts";
import type { PoolStore } from "./pool-store.ts";

/** Why a host is not removed. */
export type RemovalRefusal = "host-unknown" | "host-in-use" | "control-plane-unavailable";

/** What it needs of its pool. */
export interface HostRemovalOptions {
  readonly store: PoolStore;
  readonly assignments: HostAssignments;
  readonly questions: AddressQuestions;
  readonly audit: AuditLog;
  /** Asks a host for a word. */
  readonly doubt: (host: string) => void;
}

/** One per pool object. */
export class HostRemoval {
  readonly #options: HostRemovalOptions;

  constructor(options: HostRemovalOptions) {
    this.#options = options;
  }

  /**
   * Forgets a host. In a static pool its slots end now, rest, and are free again. Other leases end by time,
   * so such a host is forgotten only when that is over. Whoever is heard is refused. May be repeated. [SM5]
   */
  async remove(host: string, by: ChangeAuthor | null): Promise<Outcome<null, RemovalRefusal>> {
    const { store, assignments, questions, audit, doubt } = this.#options;
    const cause = { by, what: "deleteHost" };
    const refuseNoted = <Refusal extends RemovalRefusal>(refusal: Refusal): Outcome<never, Refusal> => {
      audit.note(cause, refusal);
      return refuse(refusal);
    };
    const stored = store.host(host);
    if (stored !== null && !assignments.isRemovable(stored)) {
      // It may have gone without a word: asked again, the pool knows.
      doubt(host);
      return refuseNoted("host-in-use");
    }
    // Addresses free its slots before the pool forgets it, and that may fail half way.
    audit.note(cause, "begun");
    const hadAny = await questions.remove(host);
    if (hadAny === null) return refuseNoted("control-plane-unavailable");
    // It may have come back meanwhile: then it is told what it has left.
    const present = store.host(host);
    if (present === null && !hadAny) return refuseNoted("host-unknown");
    if (present !== null && !assignments.isRemovable(present)) return refuseNoted("host-in-use");
    audit.change(cause, () => {
      store.forgetHost(host);
      return { before: present };
    });
    assignments.forget(host);
    return ok(null);
  }
}

/** The end of a host that is gone for good, by its operator's word. [SM5] */
import type { ChangeAuthor } from "../../src/core/audit.ts";
import { ok, type Outcome, refuse } from "../../src/core/outcome.ts";
import type { AuditLog } from "../audit/audit-log.ts";
import type { HeldBlock } from "../calls/address-calls.ts";
import type { AddressQuestions } from "./address-questions.ts";
import type { HostAssignments } from "./host-assignments.ts";
import type { PoolStore, StoredHost } from "./pool-store.ts";

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
    // It may have left one without a word, so all are asked. What they name is what the word is about, and all
    // that an order ends, however late it comes: whoever bears the name by then may send from a newer one. [LAW3]
    const held = await questions.held();
    if ([...held.values()].includes(null)) return refuseNoted("control-plane-unavailable");
    const own = [...held].map(
      ([ip, blocks]) => [ip, blocks!.filter((block) => block.host === host)] as const,
    );
    const hadAny = own.some(([, blocks]) => blocks.length > 0);
    // What was named may be a slot of who has come meanwhile.
    if (this.#hasCome(host, stored)) return refuseNoted("host-in-use");
    if (!(await questions.endSlots(host, slotsOf(own)))) return refuseNoted("control-plane-unavailable");
    const present = store.host(host);
    if (present === null && !hadAny) return refuseNoted("host-unknown");
    // Who has come back is told what it has left.
    if (this.#hasCome(host, stored)) return refuseNoted("host-in-use");
    audit.change(cause, () => {
      store.forgetHost(host);
      return { before: present };
    });
    assignments.forget(host);
    return ok(null);
  }

  /** Whether somebody of the name is heard again, or has been since, as another instance. */
  #hasCome(host: string, before: StoredHost | null): boolean {
    const present = this.#options.store.host(host);
    if (present === null) return false;
    return present.instance !== before?.instance || !this.#options.assignments.isRemovable(present);
  }
}

/** The epochs of what is leased, by address. */
function slotsOf(
  own: readonly (readonly [ip: string, blocks: readonly HeldBlock[]])[],
): Map<string, number[]> {
  const slots = new Map<string, number[]>();
  for (const [ip, blocks] of own) {
    const epochs = blocks.filter(({ isLeased }) => isLeased).map(({ epoch }) => epoch);
    if (epochs.length > 0) slots.set(ip, epochs);
  }
  return slots;
}

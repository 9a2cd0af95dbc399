/**
 * Single ports that one data process of a host lends to another, each towards one destination.
 *
 *     a process asks → all others are requested → what they offer is lent → it is returned
 *
 * A loan goes with its port's unit: when the unit's process ends, whoever gets the unit next holds the
 * port for the borrower. A question is answered with no only when all have said so. [MP5]
 */
import { unitOf } from "../../core/port-block.ts";
import type { BorrowedPort, LendOffer, LendRequest, LentPort, PartAnswer, PartAsk } from "./part-messages.ts";
import type { UnitGrants } from "./unit-grants.ts";

/** A port in the hands of a process that has not its unit. */
interface Loan extends LentPort {
  readonly loan: number;
  /** Of the lease to which the port belongs. */
  readonly epoch: number;
  readonly borrower: number;
  /** The command by which the borrower loses it; null while it has it. */
  endsWith: number | null;
}

/** A question, from its coming until its process repeats it no more. */
interface Asked extends PartAsk {
  readonly part: number;
  /** By process that has not answered yet, the number of the request. */
  readonly requests: Map<number, number>;
  givenCount: number;
  /** How often ports had moved when the others were requested. */
  movesBefore: number;
  answer: PartAnswer | null;
}

/** Ports that are asked of one process at once. */
const MOST_AT_ONCE = 32;

/** One per address. */
export class LoanBook {
  #number: number;
  readonly #grants: UnitGrants;
  readonly #parts: () => readonly number[];
  readonly #loans = new Map<number, Loan>();
  readonly #asked = new Set<Asked>();
  /** How often ports have moved from one process to another, or were on their way. */
  #moveCount = 0;
  /** By process, the highest question that has come. */
  readonly #lastAsk = new Map<number, number>();

  /** Loans and requests are numbered from here on. */
  constructor(grants: UnitGrants, parts: () => readonly number[], firstNumber: number) {
    this.#grants = grants;
    this.#parts = parts;
    this.#number = firstNumber;
  }

  /** Ports have moved: who has said no before may have some now. */
  moved(): void {
    this.#moveCount += 1;
  }

  /** What a process asks. */
  asked(part: number, asks: readonly PartAsk[]): void {
    const last = this.#lastAsk.get(part) ?? -Infinity;
    for (const known of this.#asked) {
      // It has heard the answer, or nobody waits for it any more.
      if (known.part === part && !asks.some(({ ask }) => ask === known.ask)) this.#asked.delete(known);
    }
    for (const ask of asks) {
      if (ask.ask <= last) continue;
      this.#lastAsk.set(part, Math.max(ask.ask, this.#lastAsk.get(part) ?? ask.ask));
      const asked: Asked = {
        ...ask,
        part,
        requests: new Map(),
        givenCount: 0,
        movesBefore: 0,
        answer: null,
      };
      this.#asked.add(asked);
      this.#request(asked);
      this.#decide(asked);
    }
  }

  /** What a process can lend. */
  offered(part: number, offers: readonly LendOffer[]): void {
    for (const asked of this.#asked) {
      const offer = offers.find(({ request }) => request === asked.requests.get(part));
      if (offer === undefined) continue;
      asked.requests.delete(part);
      for (const port of offer.ports) this.#lend(part, port, asked);
      this.#decide(asked);
    }
  }

  /** A process has let go of these by itself: another that waits for just such a port gets it at once. */
  returned(part: number, loans: readonly number[]): void {
    for (const number of loans) {
      const loan = this.#loans.get(number);
      if (loan?.borrower !== part) continue;
      this.#loans.delete(number);
      this.moved();
      const next = [...this.#asked].find((asked) => asked.destination === loan.destination && isOpen(asked));
      if (next === undefined || loan.endsWith !== null || !this.#mayLend(loan.port, loan.epoch)) continue;
      this.#add(loan, loan.epoch, next);
      this.#decide(next);
    }
  }

  /** Loans of what the host has no longer, for their borrowers to lose. */
  stale(): Loan[] {
    return [...this.#loans.values()].filter(
      ({ port, epoch, endsWith }) => endsWith === null && this.#wantedOf(port)?.epoch !== epoch,
    );
  }

  /** A process follows this command. */
  confirmed(part: number, command: number): void {
    for (const { loan, borrower, endsWith } of this.#loans.values()) {
      if (borrower === part && endsWith !== null && endsWith <= command) this.#loans.delete(loan);
    }
  }

  /** A process has ended: it uses nothing and says nothing any more. */
  ended(part: number): void {
    this.#lastAsk.delete(part);
    for (const { loan, borrower } of this.#loans.values()) if (borrower === part) this.#loans.delete(loan);
    for (const asked of this.#asked) {
      if (asked.part === part) this.#asked.delete(asked);
      if (asked.requests.delete(part)) this.#decide(asked);
    }
  }

  /** What a process lends: it holds the ports of its units that others have, or may still have. */
  lentBy(part: number): LentPort[] {
    const lent: LentPort[] = [];
    for (const { port, destination } of this.#loans.values()) {
      if (this.#grants.ofPort(port)?.part === part) lent.push({ port, destination });
    }
    return lent;
  }

  /** What a process has of others. */
  borrowedBy(part: number): BorrowedPort[] {
    const borrowed: BorrowedPort[] = [];
    for (const { loan, port, destination, borrower, endsWith } of this.#loans.values()) {
      if (borrower !== part || endsWith !== null) continue;
      borrowed.push({ loan, port, destination, isDraining: this.#wantedOf(port)?.isDraining ?? true });
    }
    return borrowed;
  }

  /** What is asked of a process. */
  requestsOf(part: number): LendRequest[] {
    const requests: LendRequest[] = [];
    for (const { requests: open, destination, count } of this.#asked) {
      const request = open.get(part);
      if (request !== undefined) {
        requests.push({ request, destination, count: Math.min(count, MOST_AT_ONCE) });
      }
    }
    return requests;
  }

  /** What a process asked, as far as it is decided. */
  answersFor(part: number): PartAnswer[] {
    return [...this.#asked].flatMap((asked) =>
      asked.part === part && asked.answer !== null ? [asked.answer] : [],
    );
  }

  /** The epoch of the lease to which a loan's port belongs; undefined once it has ended. */
  epochOf(loan: number): number | undefined {
    return this.#loans.get(loan)?.epoch;
  }

  #lend(lender: number, port: number, asked: Asked): void {
    const grant = this.#grants.ofPort(port);
    // What is not lent is free again a moment later.
    this.moved();
    // The unit was taken from it meanwhile, or is to be empty soon; or there is enough.
    if (grant?.part !== lender || grant.endsWith !== null || !this.#mayLend(port, grant.epoch)) return;
    if (!isOpen(asked)) return;
    this.#add({ port, destination: asked.destination }, grant.epoch, asked);
  }

  #add({ port, destination }: LentPort, epoch: number, asked: Asked): void {
    this.#number += 1;
    const loan = { loan: this.#number, port, destination, epoch, borrower: asked.part, endsWith: null };
    this.#loans.set(loan.loan, loan);
    asked.givenCount += 1;
  }

  #mayLend(port: number, epoch: number): boolean {
    const wanted = this.#wantedOf(port);
    return wanted?.epoch === epoch && !wanted.isDraining;
  }

  #wantedOf(port: number): ReturnType<UnitGrants["wanted"]> {
    return this.#grants.wanted(unitOf(port));
  }

  #request(asked: Asked): void {
    asked.movesBefore = this.#moveCount;
    for (const other of this.#others(asked)) {
      this.#number += 1;
      asked.requests.set(other, this.#number);
    }
  }

  #others({ part }: Asked): number[] {
    return this.#parts().filter((other) => other !== part);
  }

  /** With the first port it is yes; with the last no, and none, it is no. */
  #decide(asked: Asked): void {
    const isNo = asked.givenCount === 0;
    if (asked.answer !== null || (isNo && asked.requests.size > 0)) return;
    // A port that was on its way past those who were requested is there by now: their next command is later.
    if (isNo && asked.movesBefore < this.#moveCount && this.#others(asked).length > 0) {
      return this.#request(asked);
    }
    asked.answer = { ask: asked.ask, isNo };
  }
}

function isOpen({ answer, givenCount, count }: Asked): boolean {
  return answer?.isNo !== true && givenCount < Math.min(count, MOST_AT_ONCE);
}

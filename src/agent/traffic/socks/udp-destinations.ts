/**
 * To which address the datagrams of an association go: judged as a dial's, at once wherever nothing
 * has to be asked. [UD4]
 *
 *     literal ──────────────────────▶ permitted? → of the egress address's family?
 *     name → all of its addresses ──▶ all permitted? → one of the family, and the same one as before
 */
import { isIP } from "node:net";
import { ok, type Outcome, refuse } from "../../../core/outcome.ts";
import { type DestinationPolicy, unmapped } from "../../egress/destination-policy.ts";
import { placeOf } from "../../egress/destination-place.ts";
import type { Family, Resolver } from "../../egress/resolver.ts";
import { type DropReason, dropReasonOf } from "./udp-tally.ts";

/** An address to send to, or why there is none. */
export type Found = Outcome<string, DropReason>;

/** Where the datagrams for a name go. */
interface Pin {
  /** The answer in which all addresses were judged. */
  readonly answer: readonly string[];
  readonly ip: string;
}

/** Names that keep their address; beyond it the one that came first is forgotten. */
const MAX_PINS = 256;
const ANY_PORT = 1;

/** Those of one association. */
export class UdpDestinations {
  readonly #resolver: Resolver;
  readonly #policy: DestinationPolicy;
  readonly #family: Family;
  readonly #pins = new Map<string, Pin>();

  constructor(resolver: Resolver, policy: DestinationPolicy, egressIp: string) {
    this.#resolver = resolver;
    this.#policy = policy;
    this.#family = isIP(egressIp) as Family;
  }

  /** Where a datagram for an address or a name goes; a name server is asked only if it may be. Never rejects. */
  find(host: string, mayAsk: boolean): Found | Promise<Found> {
    const found = this.#find(host, mayAsk);
    return found instanceof Promise ? found.catch(refuseFor) : found;
  }

  #find(host: string, mayAsk: boolean): Found | Promise<Found> {
    const ip = unmapped(host);
    if (isIP(ip) !== 0) return this.#fitting(ip);
    const name = host.toLowerCase();
    // What has an address here was a name when it got it.
    if (!this.#pins.has(name) && !isName(name)) return refuse("connect-target-invalid");
    const known = this.#resolver.remembered(name, this.#family);
    if (known === null) return mayAsk ? this.#ask(name) : refuse("resolution-backlog");
    return known.ok ? this.#among(name, known.value) : refuseFor(known.refusal);
  }

  async #ask(name: string): Promise<Found> {
    return this.#among(name, await this.#resolver.resolve(name, this.#family));
  }

  #fitting(ip: string): Found | Promise<Found> {
    const mayBe = this.#judged([ip]);
    if (mayBe instanceof Promise) return mayBe.then((may) => this.#ofFamily(may, ip));
    return this.#ofFamily(mayBe, ip);
  }

  #ofFamily(isPermitted: boolean, ip: string | undefined): Found {
    if (!isPermitted) return refuse("destination-prohibited");
    return ip !== undefined && isIP(ip) === this.#family ? ok(ip) : refuse("address-family-mismatch");
  }

  #among(name: string, answer: readonly string[]): Found | Promise<Found> {
    const pin = this.#pins.get(name);
    // Its other addresses were judged when the answer came. [DE4]
    if (pin?.answer === answer) return this.#fitting(pin.ip);
    const ips = answer.map(unmapped);
    const mayBe = this.#judged(ips);
    const choose = (isPermitted: boolean): Found => {
      const fitting = ips.filter((ip) => isIP(ip) === this.#family);
      // Whoever answers datagrams knows them by where they go: it should not change with each answer.
      const isSame = pin !== undefined && fitting.includes(pin.ip);
      const found = this.#ofFamily(isPermitted, isSame ? pin.ip : fitting[0]);
      if (found.ok) this.#pin(name, { answer, ip: found.value });
      return found;
    };
    return mayBe instanceof Promise ? mayBe.then(choose) : choose(mayBe);
  }

  #pin(name: string, pin: Pin): void {
    if (this.#pins.size >= MAX_PINS && !this.#pins.has(name)) {
      this.#pins.delete(this.#pins.keys().next().value!);
    }
    this.#pins.set(name, pin);
  }

  /** Whether all of them may be reached. */
  #judged(ips: readonly string[]): boolean | Promise<boolean> {
    const asked: Promise<string | null>[] = [];
    let isPermitted = true;
    for (const ip of ips) {
      const reason = this.#policy.refusalOf(ip);
      if (reason instanceof Promise) asked.push(reason);
      else isPermitted &&= reason === null;
    }
    if (asked.length === 0) return isPermitted;
    return Promise.all(asked).then((reasons) => isPermitted && reasons.every(isNone));
  }
}

/** An address that is written in another way is none. [PX5] */
function isName(text: string): boolean {
  return placeOf(text, ANY_PORT).ok && !text.startsWith("[");
}

function isNone(reason: unknown): boolean {
  return reason === null;
}

function refuseFor(fault: unknown): Found {
  return refuse(dropReasonOf(fault));
}

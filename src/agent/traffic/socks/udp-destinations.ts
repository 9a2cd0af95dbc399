/**
 * To which address the datagrams of an association go: judged as a dial's, at once wherever nothing
 * has to be asked. [UD4]
 *
 *     literal ──────────────────────▶ permitted? → of the egress address's family?
 *     name → all of its addresses ──▶ all permitted? → one of the family, and the same one as before
 */
import { isIP } from "node:net";
import { ok, type Outcome, refuse } from "../../../core/outcome.ts";
import type { DestinationPolicy, PolicyRefusal } from "../../../policy/destination-policy.ts";
import { unmapped } from "../../../policy/embedded-addresses.ts";
import { placeOf } from "../../egress/destination-place.ts";
import type { Family, Resolver } from "../../egress/resolver.ts";
import { type DropReason, dropReasonOf } from "./udp-tally.ts";

/** An address to send to, or why there is none. */
export type Found = Outcome<string, DropReason>;

/** Where the datagrams for a name go. */
interface Pin {
  /** The answer in which all addresses were judged. */
  readonly answer: readonly string[];
  /** For which port. */
  readonly port: number;
  readonly ip: string;
}

/** Where a datagram is to go; the host is an address (IPv6 without brackets) or a name. */
interface UdpTarget {
  readonly host: string;
  readonly port: number;
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

  /** Where a datagram goes; a name server is asked only if it may be. Never rejects. */
  find(target: UdpTarget, mayAsk: boolean): Found | Promise<Found> {
    const found = this.#find(target, mayAsk);
    return found instanceof Promise ? found.catch(refuseFor) : found;
  }

  #find({ host, port }: UdpTarget, mayAsk: boolean): Found | Promise<Found> {
    const ip = unmapped(host);
    if (isIP(ip) !== 0) return this.#fitting(ip, null, port);
    const name = host.toLowerCase();
    // What has an address here was a name when it got it.
    if (!this.#pins.has(name) && !isName(name)) return refuse("connect-target-invalid");
    const refused = this.#policy.refusalOfName({ name, port });
    if (refused !== null) return refuse(refused.code);
    const known = this.#resolver.remembered(name, this.#family);
    if (known === null) return mayAsk ? this.#ask(name, port) : refuse("resolution-backlog");
    return known.ok ? this.#among(name, port, known.value) : refuseFor(known.refusal);
  }

  async #ask(name: string, port: number): Promise<Found> {
    return this.#among(name, port, await this.#resolver.resolve(name, this.#family));
  }

  #fitting(ip: string, name: string | null, port: number): Found | Promise<Found> {
    const refusing = this.#judged([ip], name, port);
    if (refusing instanceof Promise) return refusing.then((refused) => this.#ofFamily(refused, ip));
    return this.#ofFamily(refusing, ip);
  }

  #ofFamily(refused: PolicyRefusal | null, ip: string | undefined): Found {
    if (refused !== null) return refuse(refused.code);
    return ip !== undefined && isIP(ip) === this.#family ? ok(ip) : refuse("address-family-mismatch");
  }

  #among(name: string, port: number, answer: readonly string[]): Found | Promise<Found> {
    const pin = this.#pins.get(name);
    // Its other addresses were judged, for this port, when the answer came. [DE4]
    if (pin?.answer === answer && pin.port === port) return this.#fitting(pin.ip, name, port);
    const ips = answer.map(unmapped);
    const refusing = this.#judged(ips, name, port);
    const choose = (refused: PolicyRefusal | null): Found => {
      const fitting = ips.filter((ip) => isIP(ip) === this.#family);
      // Whoever answers datagrams knows them by where they go: it should not change with each answer.
      const isSame = pin !== undefined && fitting.includes(pin.ip);
      const found = this.#ofFamily(refused, isSame ? pin.ip : fitting[0]);
      if (found.ok) this.#pin(name, { answer, port, ip: found.value });
      return found;
    };
    return refusing instanceof Promise ? refusing.then(choose) : choose(refusing);
  }

  #pin(name: string, pin: Pin): void {
    if (this.#pins.size >= MAX_PINS && !this.#pins.has(name)) {
      this.#pins.delete(this.#pins.keys().next().value!);
    }
    this.#pins.set(name, pin);
  }

  /** Why one of them may not be reached; null if all of them may. */
  #judged(
    ips: readonly string[],
    name: string | null,
    port: number,
  ): PolicyRefusal | null | Promise<PolicyRefusal | null> {
    const asked: Promise<PolicyRefusal | null>[] = [];
    for (const ip of ips) {
      const refused = this.#policy.refusalOf(ip, { name, port });
      if (refused instanceof Promise) asked.push(refused);
      else if (refused !== null) {
        // Nobody waits for the others: what the kernel says of them is of no use.
        void Promise.allSettled(asked);
        return refused;
      }
    }
    if (asked.length === 0) return null;
    return Promise.all(asked).then((all) => all.find(isSome) ?? null);
  }
}

/** An address that is written in another way is none. [PX5] */
function isName(text: string): boolean {
  return placeOf(text, ANY_PORT).ok && !text.startsWith("[");
}

function isSome(refused: PolicyRefusal | null): boolean {
  return refused !== null;
}

function refuseFor(fault: unknown): Found {
  return refuse(dropReasonOf(fault));
}

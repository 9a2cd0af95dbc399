/**
 * One connection to a destination, from a leased port and no other.
 *
 *     name → addresses → all permitted? → race: port → bind and connect → checked
 *
 * The address that was judged is the one that is dialled: the name is not looked up again.
 * Refusals travel as `EgressFault`, since a race of attempts ends with errors only.
 * [BI7] [BI8] [DE4]
 */
import { isIP, type Socket } from "node:net";
import { EgressFault } from "./faults.ts";
import { MAX_ADDRESSES, raceAddresses } from "./happy-eyeballs.ts";
import { type ConnectionUse, connectFrom, givenUp, isRefusal, type Target } from "./connect-from.ts";
import { destinationKey } from "./destination-key.ts";
import { unmapped } from "../../policy/embedded-addresses.ts";
import type { AskedPlace, PolicyRefusal } from "../../policy/destination-policy.ts";
import type { EgressContext } from "./flow-context.ts";
import type { FlowRecorder, FlowSender } from "./flow-recorder.ts";
import type { HeldPort } from "./held-port.ts";
import { takeMetered } from "./metered-port.ts";
import { OpenSockets } from "./open-sockets.ts";
import type { Family, Resolver } from "./resolver.ts";
import { monotonicMs } from "../../process/clock.ts";

/** A connected socket and the port it occupies; the port goes back when the socket closes. */
export interface Dialled {
  readonly socket: Socket;
  readonly held: HeldPort;
}

/** How long things may take. */
export interface DialLimits {
  /** Until the connection stands, over all addresses tried, the name's resolution included. */
  readonly connectTimeoutMs: number;
  /** For a port while growth is outstanding. */
  readonly portWaitMs: number;
}

/** Told that a connection is tried from an address; what is returned is told its fault, null for none. */
export type OnTry = (
  ip: string,
  place: { readonly ip: string; readonly port: number },
) => (fault: unknown) => void;

/** How what is dialled is used, and by whom: one of the tenant for whom it is dialled. */
export interface DialUse extends ConnectionUse {
  /** Null, or absent, for the host itself. */
  readonly sender?: FlowSender | null;
}

/** Ports tried when the kernel says that a 4-tuple is taken after all. */
const MAX_PORT_ATTEMPTS = 8;

/** Opens connections to destinations. */
export class Dialler {
  /** Observes the results of attempts; must take constant time. [BI13] */
  onTry: OnTry | null = null;
  /** Told how long a connection has taken, or the attempt that failed. [MT6] */
  onDialled: ((tookMs: number, isConnected: boolean) => void) | null = null;
  /** Notes every attempt: each is a flow, whatever becomes of it. [AT5] */
  recorder: FlowRecorder | null = null;
  readonly #resolver: Resolver;
  readonly #limits: DialLimits;
  readonly #sockets: OpenSockets;

  constructor(resolver: Resolver, limits: DialLimits, sockets = new OpenSockets(Infinity)) {
    this.#resolver = resolver;
    this.#limits = limits;
    this.#sockets = sockets;
  }

  /** Connects to a host (a name or an address, IPv6 without brackets) and a TCP port. */
  dial(
    context: EgressContext,
    host: string,
    port: number,
    signal?: AbortSignal,
    use: DialUse = {},
  ): Promise<Dialled> {
    const { onDialled } = this;
    const sinceMs = monotonicMs();
    const dialled = this.#dial(context, host, port, signal, use);
    if (onDialled === null) return dialled;
    const note = (isConnected: boolean) => (): void => onDialled(monotonicMs() - sinceMs, isConnected);
    dialled.then(note(true), note(false));
    return dialled;
  }

  async #dial(
    context: EgressContext,
    host: string,
    port: number,
    signal: AbortSignal | undefined,
    use: DialUse,
  ): Promise<Dialled> {
    const sender: FlowSender = use.sender ?? { tenant: context.tenant, client: null, clientAddress: null };
    const to = { ...use, port, sender };
    const endMs = monotonicMs() + this.#limits.connectTimeoutMs;
    const all = await this.#addressesOf(context, host, port, endMs, signal);
    sender.timing?.done("resolve");
    if (all.length === 1)
      return this.#dialAddress(context, { ...to, ip: all[0]! }, endMs - monotonicMs(), signal);
    const first = Math.floor(Math.random() * all.length);
    const addresses = [...all.slice(first), ...all.slice(0, first)].slice(0, MAX_ADDRESSES);
    return raceAddresses(
      addresses,
      (ip, timeoutMs, lost) => this.#dialAddress(context, { ...to, ip }, timeoutMs, lost),
      { endMs, signal, discard: ({ socket }) => socket.destroy() },
    );
  }

  /** Of which families a name has addresses, at once when that is known. */
  familiesOf(name: string): readonly Family[] | Promise<readonly Family[]> {
    return this.#resolver.familiesOf(name);
  }

  async #addressesOf(
    { address: from, policy }: EgressContext,
    host: string,
    port: number,
    endMs: number,
    signal: AbortSignal | undefined,
  ): Promise<readonly string[]> {
    const family = isIP(from.ip) as Family;
    const isLiteral = isIP(host) !== 0;
    const asked: AskedPlace = { name: isLiteral ? null : host, port };
    const refusedName = policy.refusalOfName(asked);
    if (refusedName !== null) throw faultFor(refusedName, host);
    const found = isLiteral
      ? [host]
      : await within(this.#resolver.resolve(host, family), endMs - monotonicMs(), signal);
    // To every kernel a mapped address is the IPv4 address, whatever kind of record it came in.
    const addresses = [...new Set(found.map(unmapped))];
    // One prohibited address refuses the whole name: whoever mixes a private address among
    // public ones is rebinding, and which one is dialled must not be a matter of luck. [DE4]
    for (const address of addresses) {
      let refusal = policy.refusalOf(address, asked);
      if (refusal instanceof Promise) refusal = await refusal;
      if (refusal !== null) throw faultFor(refusal, isLiteral ? address : `${host} is ${address}, which`);
    }
    const fitting = addresses.filter((address) => isIP(address) === family);
    if (fitting.length > 0) return fitting;
    const other = family === 4 ? 6 : 4;
    const what = isLiteral ? `${host} is an IPv${other} address` : `${host} has only IPv${other} addresses`;
    throw new EgressFault(
      "address-family-mismatch",
      `${what}; the egress address ${from.ip} is IPv${family}.`,
    );
  }

  async #dialAddress(
    { address: from, meter }: EgressContext,
    target: Target & { readonly sender: FlowSender },
    timeoutMs: number,
    signal: AbortSignal | undefined,
  ): Promise<Dialled> {
    const { ip, port, sender } = target;
    const { recorder } = this;
    const endMs = monotonicMs() + timeoutMs;
    const destination = destinationKey(ip, port);
    for (let attempt = 1; ; attempt += 1) {
      if (this.#sockets.isFull) throw new EgressFault("connections-exhausted");
      const waitMs = Math.min(this.#limits.portWaitMs, timeoutMs);
      const held = await takeMetered(from, meter, destination, waitMs, signal);
      if (!held.ok)
        throw EgressFault.of({ detail: `${from.ip} towards ${ip} port ${port}`, ...held.refusal });
      const leftMs = Math.max(0, endMs - monotonicMs());
      const ended = this.onTry?.(from.ip, { ip, port });
      try {
        const flow = {
          ip: from.ip,
          port: held.value.port,
          protocol: "tcp",
          destination: { ip, port },
          sender,
        } as const;
        const begins = recorder === null ? null : () => recorder.begins(flow);
        const socket = await connectFrom(from.ip, held.value, target, leftMs, signal, this.#sockets, begins);
        ended?.(null);
        meter.watch(socket);
        return { socket, held: held.value };
      } catch (fault) {
        ended?.(fault);
        // This 4-tuple stays held for a while, on to the next.
        if (!isRefusal(fault)) throw fault;
        if (attempt === MAX_PORT_ATTEMPTS) {
          throw new EgressFault("port-block-exhausted", "The kernel refuses the ports of the block.", fault);
        }
      }
    }
  }
}

function faultFor({ code, reason }: PolicyRefusal, subject: string): EgressFault {
  return new EgressFault(code, `${subject} is ${reason}.`);
}

/** An answer of the name servers, unless time is up or the dial was given up. */
function within<Answer>(
  answer: Promise<Answer>,
  timeoutMs: number,
  signal: AbortSignal | undefined,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(givenUp());
    const timer = setTimeout(() => reject(new EgressFault("dns-timeout")), Math.max(0, timeoutMs));
    if (signal?.aborted) abort();
    signal?.addEventListener("abort", abort, { once: true });
    void answer.then(resolve, reject).finally(() => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
    });
  });
}

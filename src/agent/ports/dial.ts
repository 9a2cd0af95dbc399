/**
 * One connection to a destination, from a leased port and no other.
 *
 *     name → addresses → all permitted? → port → bind and connect → checked
 *
 * The address that was judged is the one that is dialled: the name is not looked up again.
 * Refusals travel as `EgressFault`, since the connector of undici takes errors only.
 * [BI7] [BI8] [DE4]
 */
import { connect, isIP, type Socket } from "node:net";
import type { AddressPorts } from "./address-ports.ts";
import type { DestinationPolicy } from "./destination-policy.ts";
import { unmapped } from "./destination-policy.ts";
import { EgressFault, isConnectFault } from "../traffic/faults.ts";
import type { HeldPort } from "./held-port.ts";
import type { Family, Resolver } from "./resolver.ts";

/** A connected socket and the port it occupies; the port goes back when the socket closes. */
export interface Dialled {
  readonly socket: Socket;
  readonly held: HeldPort;
}

/** How long things may take. */
export interface DialLimits {
  /** Until the connection stands, over all addresses tried. */
  readonly connectTimeoutMs: number;
  /** For a port while growth is outstanding. */
  readonly portWaitMs: number;
}

/** Told that a connection is tried from an address; what is returned is told its fault, null for none. */
export type OnTry = (
  ip: string,
  place: { readonly ip: string; readonly port: number },
) => (fault: unknown) => void;

/** Ports tried when the kernel says that a 4-tuple is taken after all. */
const MAX_PORT_ATTEMPTS = 8;
/** Addresses of a name that are tried. */
const MAX_ADDRESSES = 3;
const KEEP_ALIVE_DELAY_MS = 60_000;

/** Opens connections to destinations. */
export class Dialler {
  readonly #resolver: Resolver;
  readonly #policy: DestinationPolicy;
  readonly #limits: DialLimits;
  /** For whoever watches what becomes of connections. */
  onTry: OnTry | null = null;

  constructor(resolver: Resolver, policy: DestinationPolicy, limits: DialLimits) {
    this.#resolver = resolver;
    this.#policy = policy;
    this.#limits = limits;
  }

  /** Connects to a host (a name or an address, IPv6 without brackets) and a TCP port. */
  async dial(from: AddressPorts, host: string, port: number, signal?: AbortSignal): Promise<Dialled> {
    const endMs = performance.now() + this.#limits.connectTimeoutMs;
    const addresses = await this.#addressesOf(from, host);
    let fault: unknown;
    const first = addresses.length === 1 ? 0 : Math.floor(Math.random() * addresses.length);
    for (let tried = 0; tried < Math.min(addresses.length, MAX_ADDRESSES); tried += 1) {
      const ip = addresses[(first + tried) % addresses.length]!;
      const leftMs = endMs - performance.now();
      if (leftMs <= 0) break;
      try {
        return await this.#dialAddress(from, ip, port, leftMs, signal);
      } catch (error) {
        fault = error;
        if (!isConnectFault(error)) break;
      }
    }
    throw fault ?? new EgressFault("connection-timeout");
  }

  async #addressesOf(from: AddressPorts, host: string): Promise<readonly string[]> {
    const family = isIP(from.ip) as Family;
    const kind = isIP(host);
    const addresses = kind === 0 ? await this.#resolver.resolve(host, family) : [unmapped(host)];
    // One prohibited address refuses the whole name: whoever mixes a private address among
    // public ones is rebinding, and which one is dialled must not be a matter of luck. [DE4]
    for (const address of addresses) {
      if (!this.#policy.permits(address)) {
        throw new EgressFault("destination-prohibited", kind === 0 ? `${host} is ${address}` : address);
      }
    }
    const found = isIP(addresses[0]!);
    if (found !== family) {
      const what =
        kind === 0 ? `${host} has only IPv${found} addresses` : `${host} is an IPv${found} address`;
      throw new EgressFault(
        "address-family-mismatch",
        `${what}; the egress address ${from.ip} is IPv${family}.`,
      );
    }
    return addresses;
  }

  async #dialAddress(
    from: AddressPorts,
    ip: string,
    port: number,
    timeoutMs: number,
    signal: AbortSignal | undefined,
  ): Promise<Dialled> {
    const destination = destinationKey(ip, port);
    for (let attempt = 1; ; attempt += 1) {
      const taken = await from.takeWithin(destination, this.#limits.portWaitMs);
      if (!taken.ok) throw new EgressFault(taken.refusal, `${from.ip} towards ${ip} port ${port}`);
      const held = taken.value;
      const ended = this.onTry?.(from.ip, { ip, port });
      try {
        const socket = await connectFrom(from.ip, held, ip, port, timeoutMs, signal);
        ended?.(null);
        return { socket, held };
      } catch (fault) {
        ended?.(fault);
        const { code } = fault as { readonly code?: string };
        // Only the kernel knows of sockets that are not ours: this 4-tuple rests, on to the next.
        if (code !== "EADDRNOTAVAIL" && code !== "EADDRINUSE") throw fault;
        if (attempt === MAX_PORT_ATTEMPTS) {
          throw new EgressFault("port-block-exhausted", "The kernel refuses the ports of the block.", fault);
        }
      }
    }
  }
}

/** What a port is held towards. */
export function destinationKey(ip: string, port: number): string {
  return `tcp ${ip} ${port}`;
}

function connectFrom(
  localAddress: string,
  held: HeldPort,
  host: string,
  port: number,
  timeoutMs: number,
  signal: AbortSignal | undefined,
): Promise<Socket> {
  // Between the choice of the port and this moment its lease may have ended.
  if (held.isLost) {
    held.release();
    return Promise.reject(new EgressFault("lease-lost"));
  }
  return new Promise((resolve, reject) => {
    const socket = connect({
      host,
      port,
      localAddress,
      localPort: held.port,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: KEEP_ALIVE_DELAY_MS,
    });
    const fail = (fault: unknown): void => {
      clearTimeout(timer);
      reject(fault);
      socket.destroy();
    };
    const abort = (): void => fail(new EgressFault("connection-terminated", "The request was given up."));
    const timer = setTimeout(() => fail(new EgressFault("connection-timeout")), timeoutMs);
    held.onReset = () => {
      if (socket.connecting) fail(new EgressFault("lease-lost"));
      else socket.resetAndDestroy();
    };
    signal?.addEventListener("abort", abort, { once: true });
    // Stays for good: whoever takes the socket over does so a moment later.
    socket.on("error", fail);
    socket.once("close", () => {
      signal?.removeEventListener("abort", abort);
      held.release();
    });
    socket.once("connect", () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
      // Fail closed: libraries have been seen to leave from another address silently. [BI8]
      if (socket.localAddress !== localAddress || socket.localPort !== held.port) {
        fail(new EgressFault("internal-fault", "The socket is bound elsewhere."));
        return;
      }
      resolve(socket);
    });
    if (signal?.aborted) abort();
  });
}

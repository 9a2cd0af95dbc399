/**
 * Whom the client has written to lately, and who may therefore write to it.
 *
 * The rule is address-dependent filtering, which RFC 4787 REQ-8 recommends where strangers are to be
 * kept out: a datagram passes if something was sent to its source's address, whatever its source's
 * port. Were the port to fit too, protocols that answer from another one (TFTP, RFC 1350) would not
 * work; were neither to fit, whoever guesses the port could speak to the client, and what is still on
 * its way to the port's last user would come to it. [UD5]
 */
import { unmapped } from "../../../policy/embedded-addresses.ts";
import { datagramHeader } from "./udp-datagram.ts";

interface Peer {
  sentAtMs: number;
  /** What was made for its last datagram, for the next is most likely from the same port. */
  port: number;
  header: Buffer;
}

/** Addresses that are remembered at once; beyond it the one written to longest ago is forgotten. */
export const MAX_PEERS = 1_024;
const NO_HEADER = Buffer.alloc(0);

/** Those of one association. */
export class UdpPeers {
  readonly #keepMs: number;
  /** In the order in which they were written to, to within the grain. */
  readonly #peers = new Map<string, Peer>();
  /** Writing again within it does not move an address to the end: each datagram would cost that. */
  readonly #grainMs: number;

  constructor(keepMs: number) {
    this.#keepMs = keepMs;
    this.#grainMs = keepMs / 64;
  }

  get size(): number {
    return this.#peers.size;
  }

  /** Something was sent there. */
  noteSent(ip: string, nowMs: number): void {
    const peer = this.#peers.get(ip);
    if (peer === undefined) {
      if (this.#peers.size >= MAX_PEERS) this.#peers.delete(this.#peers.keys().next().value!);
      this.#peers.set(ip, { sentAtMs: nowMs, port: 0, header: NO_HEADER });
    } else if (nowMs - peer.sentAtMs > this.#grainMs) {
      this.#peers.delete(ip);
      this.#peers.set(ip, peer);
      peer.sentAtMs = nowMs;
    }
  }

  /** The header for the client of what came from there; null if it must not pass. */
  headerFor(ip: string, port: number, nowMs: number): Buffer | null {
    // Of ::808:808, which was written to, the kernel says that ::8.8.8.8 answers.
    const peer = this.#peers.get(ip.startsWith("::") ? unmapped(ip) : ip);
    if (peer === undefined || nowMs - peer.sentAtMs > this.#keepMs + this.#grainMs) return null;
    if (peer.port !== port) {
      peer.port = port;
      peer.header = datagramHeader(ip, port);
    }
    return peer.header;
  }
}

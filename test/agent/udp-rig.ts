/** UDP on loopback for tests: places that answer, clients of an association, and associations without a listener. */
import { createSocket, type Socket } from "node:dgram";
import { isIP, isIPv6 } from "node:net";
import { termFrom } from "../../src/core/lease-term.ts";
import { UNMETERED, UNWATCHED } from "../../src/agent/egress/flow-use.ts";
import { AddressPorts, type BinderOptions } from "../../src/agent/egress/address-ports.ts";
import { AddressRules } from "../../src/policy/address-rules.ts";
import { DestinationPolicy } from "../../src/policy/destination-policy.ts";
import { OpenSockets } from "../../src/agent/egress/open-sockets.ts";
import { Resolver } from "../../src/agent/egress/resolver.ts";
import {
  UdpAssociation,
  type UdpAssociationOptions,
  type UdpPlace,
} from "../../src/agent/traffic/socks/udp-association.ts";
import { datagramHeader, readDatagram } from "../../src/agent/traffic/socks/udp-datagram.ts";
import { UdpTally } from "../../src/agent/traffic/socks/udp-tally.ts";
import type { Problem } from "../../src/core/problems.ts";
import { readClock } from "../../src/process/clock.ts";
import { startNameServer } from "../e2e/name-server.ts";
import { eventually } from "./gateway-rig.ts";

const HOUR_MS = 3_600_000;

/** A datagram as it came. */
export interface Heard extends UdpPlace {
  readonly text: string;
}

/** A socket that keeps what comes. */
export class UdpEnd {
  readonly heard: Heard[] = [];
  readonly socket: Socket;

  protected constructor(socket: Socket) {
    this.socket = socket;
    socket.on("message", (payload, { address: ip, port }) => {
      this.heard.push({ ip, port, text: payload.toString("latin1") });
    });
  }

  static async bind(ip = "127.0.0.1", port = 0): Promise<UdpEnd> {
    return new UdpEnd(await boundSocket(ip, port));
  }

  get port(): number {
    return this.socket.address().port;
  }

  send(bytes: Buffer | string, to: UdpPlace): Promise<void> {
    return new Promise((resolve, reject) => {
      this.socket.send(bytes, to.port, to.ip, (fault) => (fault === null ? resolve() : reject(fault)));
    });
  }

  async hears(count: number): Promise<readonly Heard[]> {
    await eventually(
      () => this.heard.length >= count,
      `${count} datagrams; got ${JSON.stringify(this.heard)}`,
    );
    return this.heard;
  }

  close(): void {
    this.socket.close();
  }
}

async function boundSocket(ip: string, port: number): Promise<Socket> {
  const socket = createSocket(isIPv6(ip) ? "udp6" : "udp4");
  await new Promise<void>((resolve, reject) => {
    socket.once("error", reject);
    socket.bind({ address: ip, port, exclusive: true }, resolve);
  });
  return socket;
}

/** The bytes for a relay: an address, or a name, and what is to be sent there. */
export function wrapped(host: string, port: number, payload: string | Buffer): Buffer {
  const isName = isIP(host) === 0;
  const header = isName
    ? Buffer.from([0, 0, 0, 3, host.length, ...Buffer.from(host, "latin1"), port >> 8, port & 0xff])
    : datagramHeader(host, port);
  return Buffer.concat([header, Buffer.from(payload)]);
}

/** What a relay passed on, read as a client reads it. */
export function unwrapped({ text }: Heard): Heard {
  const read = readDatagram(Buffer.from(text, "latin1"));
  if (!read.ok) throw new Error(read.refusal);
  const { host: ip, port, payload } = read.value;
  return { ip, port, text: payload.toString("latin1") };
}

export interface UdpRig {
  readonly ports: AddressPorts;
  readonly sockets: OpenSockets;
  readonly tally: UdpTally;
  /** Why associations ended. */
  readonly ends: (Problem | null)[];
  readonly open: (options?: Partial<UdpAssociationOptions>) => ReturnType<typeof UdpAssociation.open>;
  /** Opens one that must open. */
  readonly opened: (options?: Partial<UdpAssociationOptions>) => Promise<UdpAssociation>;
  readonly close: () => void;
}

export interface UdpRigOptions extends BinderOptions {
  readonly egressIp?: string;
  readonly order?: number;
  readonly records?: Readonly<Record<string, readonly string[]>>;
  readonly policy?: DestinationPolicy;
  readonly maxSockets?: number;
}

/** An address with one block, and what an association needs besides. */
export async function startUdpRig(options: UdpRigOptions = {}): Promise<UdpRig> {
  const { egressIp = "127.0.0.18", order = 6, records = {}, ...binder } = options;
  const ports = new AddressPorts(egressIp, { holdDownMs: 100, ...binder });
  ports.addBlock({ base: 24_576, order, epoch: 1 });
  ports.setTerm(termFrom((options.clock ?? readClock)(), HOUR_MS));
  const nameServer = await startNameServer(records);
  const resolver = new Resolver({ servers: [nameServer.address], timeoutMs: 200 });
  const policy =
    options.policy ??
    new DestinationPolicy({ addresses: new AddressRules({ allowed: ["127.0.0.0/8", "::1/128"] }) });
  const sockets = new OpenSockets(options.maxSockets ?? Infinity);
  const tally = new UdpTally();
  const ends: (Problem | null)[] = [];
  const open: UdpRig["open"] = (more = {}) =>
    UdpAssociation.open({
      context: {
        id: 1,
        requestId: null,
        clientAddress: null,
        client: "test",
        pool: "main",
        tenant: "test",
        address: ports,
        policy,
        meter: UNMETERED,
        running: UNWATCHED,
      },
      clientIp: "127.0.0.1",
      announced: { ip: "0.0.0.0", port: 0 },
      listenIp: "127.0.0.1",
      resolver,
      sockets,
      tally,
      portWaitMs: 0,
      onEnd: (_association, problem) => ends.push(problem),
      ...more,
    });
  return {
    ports,
    sockets,
    tally,
    ends,
    open,
    opened: async (more) => {
      const opened = await open(more);
      if (!opened.ok) throw new Error(opened.refusal.code);
      return opened.value;
    },
    close: () => {
      ports.close();
      resolver.close();
      nameServer.close();
    },
  };
}

/** A gateway with leases and a name server, without a control plane, for the tests of the data path. */
import type { JWK } from "jose";
import { once } from "node:events";
import type { AddressInfo, Server as NetServer } from "node:net";
import { createServer as createHttpServer, type RequestListener, type Server } from "node:http";
import { connect, createServer as createNetServer, type Socket } from "node:net";
import type { Identity, Role } from "../../src/core/identity.ts";
import { termFrom } from "../../src/core/lease-term.ts";
import type { Lease } from "../../src/core/lease-commands.ts";
import { HostPolicies } from "../../src/agent/tenants/host-policies.ts";
import { PolicyReports } from "../../src/agent/tenants/policy-reports.ts";
import { TenantBook } from "../../src/agent/tenants/tenant-book.ts";
import { type FlowTimes, TenantMeters } from "../../src/agent/tenants/tenant-meters.ts";
import { Admission } from "../../src/agent/admission/admission.ts";
import type { AddressPorts } from "../../src/agent/egress/address-ports.ts";
import { monotonicMs, readClock } from "../../src/process/clock.ts";
import { Dialler } from "../../src/agent/egress/dial.ts";
import type { FlowContext } from "../../src/agent/egress/flow-context.ts";
import { Gateway } from "../../src/agent/traffic/gateway/gateway.ts";
import type { GatewayTls } from "../../src/agent/traffic/gateway/secure-front.ts";
import { Outgoing, type OutgoingOptions } from "../../src/agent/traffic/origins/outgoing.ts";
import { RefusalCounts } from "../../src/agent/traffic/clients/refusals.ts";
import { type StrangerLimits, Visitors } from "../../src/agent/traffic/clients/visitors.ts";
import { OpenSockets } from "../../src/agent/egress/open-sockets.ts";
import { PortBinder } from "../../src/agent/egress/port-binder.ts";
import { Resolver } from "../../src/agent/egress/resolver.ts";
import { generateKey, publicPart } from "../../src/wire/keys.ts";
import { signToken, TokenVerifier } from "../../src/wire/tokens.ts";
import { startNameServer } from "../e2e/name-server.ts";

export interface RigOptions extends OutgoingOptions {
  readonly egressIp?: string;
  readonly leases?: readonly Lease[];
  readonly allow?: readonly string[];
  readonly holdDownMs?: number;
  readonly records?: Readonly<Record<string, readonly string[]>>;
  readonly connectTimeoutMs?: number;
  readonly dnsTimeoutMs?: number;
  /** The resolver's clock, in milliseconds. */
  readonly resolverNow?: () => number;
  /** How long flows may rest and last. */
  readonly times?: FlowTimes;
  /** What flows may keep for those that do not take it. */
  readonly mostUntakenBytes?: number;
  /** Those of clients and destinations together. */
  readonly maxConnections?: number;
  /** Those of them on which no token was shown. */
  readonly strangers?: StrangerLimits;
  /** How long a TCP connection may rest, and its client be silent before it is asked. */
  readonly tcpIdleMs?: number;
  readonly tcpSilenceMs?: number;
  /** With what the gateway speaks TLS. */
  readonly tls?: GatewayTls;
}

export interface Rig {
  readonly url: string;
  readonly port: number;
  readonly gateway: Gateway;
  readonly admission: Admission;
  /** What holds for whom. */
  readonly tenants: TenantBook;
  readonly binder: PortBinder;
  readonly ports: AddressPorts;
  readonly outgoing: Outgoing;
  readonly resolver: Resolver;
  readonly visitors: Visitors;
  readonly refusalCounts: RefusalCounts;
  readonly token: string;
  readonly faults: unknown[];
  /** The flows that ended with them. */
  readonly faultyFlows: (FlowContext | null)[];
  readonly reports: PolicyReports;
  readonly tokenFor: (role: Role, pools?: readonly string[], expiresInMs?: number) => Promise<string>;
  /** A token that says more, or other things. */
  readonly tokenSaying: (claims: Partial<Identity>) => Promise<string>;
  /** Private ones, by which its tokens are signed. */
  readonly keys: { readonly issuer: JWK; readonly edge: JWK };
  /** Fetches a destination through the gateway. */
  readonly fetch: (destination: string, init?: RequestInit) => Promise<Response>;
  readonly close: () => Promise<void>;
}

const HOUR_MS = 3_600_000;

export async function startRig(options: RigOptions = {}): Promise<Rig> {
  const { egressIp = "127.0.0.10", leases = [{ base: 20_480, order: 8, epoch: 1 }] } = options;
  const issuer = await generateKey("issuer");
  const edge = await generateKey("edge");
  const verifier = new TokenVerifier({ keys: [publicPart(issuer), publicPart(edge)] });
  const binder = new PortBinder({ holdDownMs: options.holdDownMs ?? 100 });
  const ports = binder.addAddress(egressIp);
  for (const lease of leases) ports.addBlock(lease);
  ports.setTerm(termFrom(readClock(), HOUR_MS));
  const nameServer = await startNameServer(options.records ?? {});
  const resolver = new Resolver({
    servers: [nameServer.address],
    timeoutMs: options.dnsTimeoutMs ?? 200,
    ...(options.resolverNow === undefined ? {} : { now: options.resolverNow }),
  });
  const reports = new PolicyReports(() => {}, monotonicMs);
  const policies = new HostPolicies({ allowed: options.allow ?? ["127.0.0.0/8"] }, reports);
  const limits = { connectTimeoutMs: options.connectTimeoutMs ?? 2_000, portWaitMs: 2_000 };
  const sockets = new OpenSockets(options.maxConnections ?? Infinity);
  const dialler = new Dialler(resolver, limits, sockets);
  const outgoing = new Outgoing(dialler, options);
  const faults: unknown[] = [];
  const faultyFlows: (FlowContext | null)[] = [];
  const meters = new TenantMeters({
    crowd: sockets,
    ...(options.times === undefined ? {} : { times: options.times }),
    ...(options.mostUntakenBytes === undefined ? {} : { mostUntakenBytes: options.mostUntakenBytes }),
  });
  const tenants = new TenantBook(policies.make, undefined, meters);
  const admission = new Admission({
    pool: "main",
    binder,
    tenants,
    verifier,
    familiesOf: (name) => dialler.familiesOf(name),
  });
  const refusalCounts = new RefusalCounts();
  const visitors = new Visitors(sockets, options.strangers ?? { inAll: Infinity, ofAddress: Infinity });
  const gateway = new Gateway({
    host: "h1",
    admission,
    binder,
    outgoing,
    visitors,
    refusalCounts,
    ...(options.tls === undefined ? {} : { tls: options.tls }),
    ...(options.tcpIdleMs === undefined ? {} : { tcpIdleMs: options.tcpIdleMs }),
    ...(options.tcpSilenceMs === undefined ? {} : { tcpSilenceMs: options.tcpSilenceMs }),
    onFault: (fault, context) => {
      faults.push(fault);
      faultyFlows.push(context);
    },
  });
  const listener = gateway.listen({ port: 0, host: "127.0.0.1" });
  await once(listener, "listening");
  const { port } = listener.address() as AddressInfo;
  const url = `${options.tls === undefined ? "http" : "https"}://127.0.0.1:${port}`;
  const tokenSaying = (claims: Partial<Identity>): Promise<string> => {
    const expiresAtMs = Date.now() + HOUR_MS;
    const identity: Identity = { role: "gateway", subject: "test", pools: ["main"], expiresAtMs, ...claims };
    return signToken(identity, identity.role === "gateway" ? edge : issuer);
  };
  const tokenFor: Rig["tokenFor"] = (role, pools = ["main"], expiresInMs = HOUR_MS) =>
    tokenSaying({ role, pools, expiresAtMs: Date.now() + expiresInMs });
  const token = await tokenFor("gateway");
  return {
    url,
    port,
    gateway,
    admission,
    tenants,
    binder,
    ports,
    outgoing,
    resolver,
    visitors,
    refusalCounts,
    token,
    keys: { issuer, edge },
    faults,
    faultyFlows,
    reports,
    tokenFor,
    tokenSaying,
    fetch: (destination, init = {}) => {
      const headers = new Headers(init.headers);
      headers.set("egress-authorization", `Bearer ${token}`);
      return fetch(`${url}/v1/fetch?url=${encodeURIComponent(destination)}`, { ...init, headers });
    },
    close: async () => {
      gateway.close();
      outgoing.close();
      meters.close();
      binder.removeAddress(egressIp);
      resolver.close();
      nameServer.close();
      await Promise.resolve();
    },
  };
}

/** The head of a fetch as a client would write it by hand. */
export function fetchHead(rig: Rig, method: string, destination: string, ...fields: string[]): string {
  return [
    `${method} /v1/fetch?url=${encodeURIComponent(destination)} HTTP/1.1`,
    "host: gateway",
    `egress-authorization: Bearer ${rig.token}`,
    ...fields,
    "",
    "",
  ].join("\r\n");
}

/** Sends bytes to a server and gives all that it answers until it ends or resets. */
export async function exchangeBytes(
  port: number,
  bytes: string,
  until: (received: string) => boolean = () => false,
): Promise<string> {
  const socket = connect(port, "127.0.0.1");
  socket.write(bytes, "latin1");
  let received = "";
  await new Promise<void>((resolve) => {
    socket.setEncoding("latin1");
    socket.on("data", (text: string) => {
      received += text;
      if (until(received)) resolve();
    });
    socket.on("error", () => resolve());
    socket.on("close", () => resolve());
  });
  socket.destroy();
  return received;
}

export interface Origin {
  readonly url: string;
  readonly port: number;
  readonly server: NetServer;
  readonly close: () => void;
}

/** An HTTP origin on a free port of a loopback address. */
export async function startOrigin(listener: RequestListener, ip = "127.0.0.1", port = 0): Promise<Origin> {
  const server: Server = createHttpServer(listener);
  server.listen(port, ip, 4096);
  await once(server, "listening");
  const { port: bound } = server.address() as AddressInfo;
  return {
    url: `http://${ip}:${bound}`,
    port: bound,
    server,
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

/** An origin that speaks in bytes, on a free port of a loopback address. */
export async function startByteOrigin(
  onConnection: (socket: Socket) => void,
  ip = "127.0.0.1",
): Promise<Origin> {
  const sockets = new Set<Socket>();
  const server = createNetServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => socket.destroy());
    socket.once("close", () => sockets.delete(socket));
    onConnection(socket);
  });
  server.listen(0, ip, 4096);
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://${ip}:${port}`,
    port,
    server,
    close: () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

/** Waits until a condition holds, looking again as events pass; fails after a while. */
export async function eventually(isTrue: () => boolean, what: string, timeoutMs = 5_000): Promise<void> {
  const endMs = performance.now() + timeoutMs;
  while (!isTrue()) {
    if (performance.now() > endMs) throw new Error(`never: ${what}`);
    await new Promise((resolve) => {
      setTimeout(resolve, 5);
    });
  }
}

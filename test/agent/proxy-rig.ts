/** A proxy over the gateway rig, and clients of it that say exactly what they are told to. */
import { RefusalCounts } from "../../src/agent/traffic/clients/refusals.ts";
import { once } from "node:events";
import { type AddressInfo, connect, type Socket } from "node:net";
import { ProxyListener, type ProxyOptions } from "../../src/agent/traffic/proxy/proxy-listener.ts";
import { UdpAssociations } from "../../src/agent/traffic/socks/udp-associations.ts";
import { IdleTunnels } from "../../src/agent/traffic/tunnel/idle-tunnels.ts";
import type { ProblemCode } from "../../src/core/problems.ts";
import { type Rig, type RigOptions, startRig } from "./gateway-rig.ts";

export interface ProxyRig extends Rig {
  readonly proxyPort: number;
  readonly proxy: ProxyListener;
  readonly idle: IdleTunnels;
  readonly associations: UdpAssociations;
  /** How often each refusal was said. */
  readonly counts: Map<ProblemCode, number>;
}

export async function startProxyRig(
  options: RigOptions &
    Partial<
      Pick<
        ProxyOptions,
        "sources" | "marks" | "idle" | "certificate" | "needsClientCertificate" | "takesPlain"
      >
    > = {},
): Promise<ProxyRig> {
  const rig = await startRig({ leases: [{ base: 20_480, order: 11, epoch: 1 }], ...options });
  const idle = options.idle ?? new IdleTunnels();
  const associations = new UdpAssociations({ admission: rig.admission, resolver: rig.resolver });
  const counts = new RefusalCounts();
  const proxy = new ProxyListener({
    host: "h1",
    admission: rig.admission,
    outgoing: rig.outgoing,
    sources: options.sources ?? [{ range: "127.0.0.0/8", name: "local" }],
    marks: options.marks ?? { via: null, isForwardedTold: false },
    idle,
    ...(options.certificate === undefined ? {} : { certificate: options.certificate }),
    needsClientCertificate: options.needsClientCertificate ?? false,
    takesPlain: options.takesPlain ?? false,
    associations,
    visitors: rig.visitors,
    refusalCounts: counts,
    onFault: (fault, context) => {
      rig.faults.push(fault);
      rig.faultyFlows.push(context);
    },
  });
  const server = proxy.listen({ host: "127.0.0.1", port: 0 });
  await once(server, "listening");
  const { port: proxyPort } = server.address() as AddressInfo;
  const close = async (): Promise<void> => {
    proxy.close();
    await rig.close();
  };
  return { ...rig, proxyPort, proxy, idle, associations, counts, close };
}

/** A client that reads and writes bytes. */
export class ByteClient {
  readonly socket: Socket;
  received = Buffer.alloc(0);
  hasEnded = false;
  isClosed = false;
  wasReset = false;
  readonly #listeners = new Set<() => void>();

  constructor(port: number, host = "127.0.0.1", localAddress?: string) {
    this.socket = connect({
      port,
      host,
      allowHalfOpen: true,
      ...(localAddress === undefined ? {} : { localAddress }),
    });
    this.socket.on("data", (chunk: Buffer) => {
      this.received = Buffer.concat([this.received, chunk]);
      this.#tell();
    });
    this.socket.on("error", (fault: NodeJS.ErrnoException) => {
      this.wasReset ||= fault.code === "ECONNRESET";
    });
    this.socket.once("end", () => {
      this.hasEnded = true;
      this.#tell();
    });
    this.socket.once("close", () => {
      this.isClosed = true;
      this.#tell();
    });
  }

  get text(): string {
    return this.received.toString("latin1");
  }

  write(bytes: string | Buffer): void {
    if (typeof bytes === "string") this.socket.write(bytes, "latin1");
    else this.socket.write(bytes);
  }

  /** Waits until something is true of it. */
  async until(isTrue: (client: this) => boolean, what: string): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(
        () => reject(new Error(`never: ${what}; got ${JSON.stringify(this.text)}`)),
        10_000,
      );
      const look = (): void => {
        if (!isTrue(this)) return;
        clearTimeout(timer);
        this.#listeners.delete(look);
        resolve();
      };
      this.#listeners.add(look);
      look();
    });
  }

  /** Takes so many bytes off what has come. */
  async take(byteCount: number): Promise<Buffer> {
    await this.until(({ received }) => received.length >= byteCount, `${byteCount} bytes`);
    const taken = this.received.subarray(0, byteCount);
    this.received = this.received.subarray(byteCount);
    return taken;
  }

  #tell(): void {
    for (const listener of this.#listeners) listener();
  }
}

/** The fields and the status of an answer. */
export function readHead(text: string): { status: number; fields: Map<string, string>; rest: string } {
  const [head = "", ...rest] = text.split("\r\n\r\n");
  const [line = "", ...lines] = head.split("\r\n");
  const fields = new Map(
    lines.map((field) => {
      const at = field.indexOf(":");
      return [field.slice(0, at).toLowerCase(), field.slice(at + 1).trim()] as const;
    }),
  );
  return { status: Number(line.split(" ")[1]), fields, rest: rest.join("\r\n\r\n") };
}

/** Opens a tunnel by CONNECT and gives it when it stands. */
export async function openTunnel(rig: ProxyRig, place: string, ...fields: string[]): Promise<ByteClient> {
  const client = new ByteClient(rig.proxyPort);
  client.write([`CONNECT ${place} HTTP/1.1`, `host: ${place}`, ...fields, "", ""].join("\r\n"));
  await client.until(({ text }) => text.includes("\r\n\r\n"), "an answer to CONNECT");
  if (!client.text.startsWith("HTTP/1.1 200 ")) throw new Error(client.text);
  client.received = Buffer.from(readHead(client.text).rest, "latin1");
  return client;
}

/** The value of `proxy-authorization` for a user name and a password. */
export function basic(userName: string, password: string): string {
  return `proxy-authorization: Basic ${Buffer.from(`${userName}:${password}`).toString("base64")}`;
}

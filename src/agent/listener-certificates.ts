/** The certificates of the listeners of one process: what the gateway and the proxies are told of TLS. [TR1] [TR2] */
import type { Logger } from "pino";
import { CommandFault } from "../process/command-fault.ts";
import type { GatewayTls } from "./traffic/gateway/secure-front.ts";
import type { ProxyOptions } from "./traffic/proxy/proxy-listener.ts";
import { type CertificateFiles, ListenerCertificate } from "./traffic/tls/listener-certificate.ts";
import type { Transport } from "./transport-options.ts";

/** From `open` until `close`; what it tells counts from `open` on. */
export class ListenerCertificates {
  readonly #transport: Transport;
  readonly #log: Logger;
  #gateway: ListenerCertificate | null = null;
  #proxies: ListenerCertificate | null = null;

  constructor(transport: Transport, log: Logger) {
    this.#transport = transport;
    this.#log = log;
  }

  /** For a gateway; nothing where it speaks plain HTTP. */
  ofGateway(): { readonly tls?: GatewayTls } {
    const { gatewayCertificate } = this.#transport;
    if (gatewayCertificate === null) return {};
    const needsClientCertificate = gatewayCertificate.clientCa !== null;
    return { tls: { certificate: () => this.#gateway!.pair, needsClientCertificate } };
  }

  /** For the proxies. */
  ofProxies(): Required<Pick<ProxyOptions, "certificate" | "needsClientCertificate" | "takesPlain">> {
    const { proxyCertificate, allowsPlainHttp } = this.#transport;
    return {
      certificate: () => this.#proxies?.pair ?? null,
      needsClientCertificate: proxyCertificate !== null && proxyCertificate.clientCa !== null,
      takesPlain: allowsPlainHttp,
    };
  }

  /** Reads the files, and follows them from now on. Throws `option-invalid`. */
  async open(): Promise<void> {
    const { gatewayCertificate, proxyCertificate } = this.#transport;
    if (gatewayCertificate !== null) this.#gateway = await this.#open("the gateway", gatewayCertificate);
    if (proxyCertificate !== null) this.#proxies = await this.#open("the proxies", proxyCertificate);
  }

  close(): void {
    this.#gateway?.close();
    this.#proxies?.close();
  }

  async #open(whose: string, files: CertificateFiles): Promise<ListenerCertificate> {
    try {
      return await ListenerCertificate.open(files, (fault) => {
        this.#log.error(
          { err: fault },
          `the certificate of ${whose} could not be read again: the old one is kept`,
        );
      });
    } catch (fault) {
      const { certificate, key, clientCa } = files;
      const more = clientCa === null ? "" : `, with the authority ${clientCa} for clients`;
      const message = `The certificate ${certificate} and its key ${key}${more} cannot be used: ${(fault as Error).message}.`;
      throw new CommandFault("option-invalid", message, fault);
    }
  }
}

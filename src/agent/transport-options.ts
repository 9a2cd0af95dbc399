/** What an agent is told about TLS, its own and its clients', about going without, and of who may read its metrics. [TR1] [TR3] [TR4] */
import type { Command } from "commander";
import { isLoopback } from "../core/plain-http.ts";
import { optionInvalid, readUrl } from "../process/command-options.ts";
import {
  ALLOW_PLAIN_HTTP,
  type PlainHttpOption,
  plainHttpRefused,
  securely,
  withPlainHttp,
} from "../process/plain-http-option.ts";
import {
  type MetricsOptionTexts,
  type MetricsPlace,
  readMetrics,
  withMetrics,
} from "../metrics/node/metrics-options.ts";
import type { CertificateFiles } from "./traffic/tls/listener-certificate.ts";

/** As commander has them. */
export interface TransportOptions extends PlainHttpOption, MetricsOptionTexts {
  readonly gatewayCertificate?: string;
  readonly gatewayKey?: string;
  readonly gatewayClientCa?: string;
  readonly proxyCertificate?: string;
  readonly proxyKey?: string;
  readonly proxyClientCa?: string;
  readonly otlp?: string;
}

/** As the agent has them. */
export interface Transport {
  readonly gatewayCertificate: CertificateFiles | null;
  readonly proxyCertificate: CertificateFiles | null;
  readonly allowsPlainHttp: boolean;
  readonly metrics: MetricsPlace | null;
  /** URL of a collector of OpenTelemetry; null for none. */
  readonly collector: string | null;
}

/** Where tokens go and come from. */
export interface TokenPlaces {
  readonly edge: URL;
  /** As it is announced; null for where the agent listens. */
  readonly gateway: string | null;
  readonly listenHost: string;
  readonly proxies: readonly { readonly host: string; readonly port: number }[];
}

/** The command with these options. */
export function withTransport(command: Command): Command {
  return withMetrics(withPlainHttp(command))
    .option("--gateway-certificate <file>", "a certificate in PEM form: the gateway speaks TLS")
    .option(
      "--otlp <url>",
      "where a collector of OpenTelemetry takes spans over HTTP, such as http://127.0.0.1:4318",
    )
    .option("--gateway-key <file>", "the key of that certificate")
    .option(
      "--gateway-client-ca <file>",
      "authorities in PEM form: clients of the gateway need a certificate of one of them, the edge too",
    )
    .option("--proxy-certificate <file>", "a certificate in PEM form: the proxies speak TLS and HTTP/2, too")
    .option("--proxy-key <file>", "the key of that certificate")
    .option(
      "--proxy-client-ca <file>",
      "authorities in PEM form: clients of the proxies need a certificate of one of them, and TLS",
    );
}

/** Reads them; throws `option-invalid`, or `plain-http-refused` where a token would travel in plain text. */
export function readTransport(options: TransportOptions, places: TokenPlaces): Transport {
  const gatewayCertificate = readCertificate("gateway", {
    certificate: options.gatewayCertificate,
    key: options.gatewayKey,
    clientCa: options.gatewayClientCa,
  });
  const proxyCertificate = readCertificate("proxy", {
    certificate: options.proxyCertificate,
    key: options.proxyKey,
    clientCa: options.proxyClientCa,
  });
  securely("--edge", places.edge, options);
  if (places.gateway !== null) securely("--gateway", new URL(places.gateway), options);
  if (!options.allowPlainHttp) {
    if (gatewayCertificate === null) refuseToListen("gateway", "--listen", places.listenHost);
    if (proxyCertificate === null) {
      for (const { host } of places.proxies) refuseToListen("proxy", "--proxy", host);
    }
  }
  const { allowPlainHttp: allowsPlainHttp } = options;
  const metrics = readMetrics(options, allowsPlainHttp);
  const collector = options.otlp === undefined ? null : readUrl("--otlp", options.otlp).href;
  return { gatewayCertificate, proxyCertificate, allowsPlainHttp, metrics, collector };
}

function readCertificate(
  whose: "gateway" | "proxy",
  files: Readonly<Record<"certificate" | "key" | "clientCa", string | undefined>>,
): CertificateFiles | null {
  const { certificate, key, clientCa = null } = files;
  if (certificate !== undefined && key !== undefined) return { certificate, key, clientCa };
  if (certificate !== undefined || key !== undefined) {
    throw optionInvalid(`--${whose}-certificate and --${whose}-key are given together.`);
  }
  if (clientCa === null) return null;
  throw optionInvalid(
    `--${whose}-client-ca needs --${whose}-certificate and --${whose}-key: certificates of clients are shown within TLS.`,
  );
}

function refuseToListen(whose: "gateway" | "proxy", option: string, host: string): void {
  if (isLoopback(host)) return;
  throw plainHttpRefused(
    `${option} ${host} would take tokens over plain HTTP from other machines, where whoever is on the way ` +
      `reads them. Give --${whose}-certificate and --${whose}-key, or listen on 127.0.0.1 behind a tunnel; ` +
      `${ALLOW_PLAIN_HTTP} is for a network that is yours alone.`,
  );
}

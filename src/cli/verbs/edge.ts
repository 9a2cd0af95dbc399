/** `ipshard edge`: runs the edge on this machine until it is told to end. */
import { Option } from "commander";
import { isLoopback } from "../../core/plain-http.ts";
import { CONFIGURATION_GOOD, withConfiguration } from "../../process/configuration.ts";
import { optionInvalid, readUrl, withExamples } from "../../process/command-options.ts";
import { authorityFile, checkNamedFiles, type NamedFiles, pemFiles } from "../../process/named-files.ts";
import { ALLOW_PLAIN_HTTP, plainHttpRefused, withPlainHttp } from "../../process/plain-http-option.ts";
import type { DecisionLevel } from "../edge/edge-process.ts";
import type { EdgeTls } from "../edge/edge-tls.ts";
import { runEdge } from "../edge/run-edge.ts";
import type { PemFiles } from "../edge/workerd-config.ts";
import { newVerb, portOption, stateOption } from "../options.ts";
import { print } from "../output/print.ts";
import { StatePaths } from "../state-paths.ts";

interface Words {
  readonly host: string;
  readonly port: number;
  readonly state: string;
  readonly logDecisions: DecisionLevel;
  readonly otlp?: string;
  readonly certificate?: string;
  readonly key?: string;
  readonly gatewayCa?: string;
  readonly gatewayClientCertificate?: string;
  readonly gatewayClientKey?: string;
  readonly allowPlainHttp: boolean;
  readonly checkConfig?: true;
  readonly filesElsewhere?: true;
}

/** The verb. */
export const edge = withExamples(
  withConfiguration(withPlainHttp(newVerb("edge", "run the edge on this machine"))),
  [
    "edge --state /var/lib/ipshard-edge",
    "edge --host 0.0.0.0 --port 443 --certificate edge.pem --key edge-key.pem",
    "edge --config ipshard.yaml",
  ],
)
  .addOption(portOption("port to listen on", 1))
  .option("--host <address>", "address to listen on", "127.0.0.1")
  .option("--certificate <file>", "a certificate in PEM form: the edge speaks TLS")
  .option("--key <file>", "the key of that certificate")
  .option("--gateway-ca <file>", "authorities in PEM form that gateways have their certificates from")
  .option("--gateway-client-certificate <file>", "what the edge shows to gateways that ask for a certificate")
  .option("--gateway-client-key <file>", "the key of that certificate")
  .addOption(
    new Option("--log-decisions <which>", "requests that get a line in the log")
      .choices(["none", "refused", "all"])
      .default("none"),
  )
  .option("--otlp <url>", "where a collector of OpenTelemetry takes spans over HTTP")
  .addOption(stateOption())
  .action(async (words: Words) => {
    const { host, port, state, allowPlainHttp, logDecisions, otlp } = words;
    const collector = otlp === undefined ? null : readUrl("--otlp", otlp).href;
    const tls: EdgeTls = {
      certificate: pair(["--certificate", words.certificate], ["--key", words.key]),
      gatewayCa: words.gatewayCa ?? null,
      gatewayClient: pair(
        ["--gateway-client-certificate", words.gatewayClientCertificate],
        ["--gateway-client-key", words.gatewayClientKey],
      ),
    };
    if (tls.certificate === null && !allowPlainHttp && !isLoopback(host)) {
      throw plainHttpRefused(
        `--host ${host}: the edge would take tokens over plain HTTP from other machines, where whoever is on ` +
          "the way reads them. Give --certificate and --key, or leave --host out and let a tunnel or a proxy " +
          `with TLS on this machine come to it; ${ALLOW_PLAIN_HTTP} is for a network that is yours alone.`,
      );
    }
    if (words.checkConfig === true) {
      if (words.filesElsewhere !== true) await checkNamedFiles(namedFilesOf(tls));
      return print(CONFIGURATION_GOOD);
    }
    await runEdge(new StatePaths(state), { host, port, tls, logDecisions, collector });
  });

function namedFilesOf({ certificate, gatewayCa, gatewayClient }: EdgeTls): readonly NamedFiles[] {
  return [
    ...pairFiles("", certificate),
    ...pairFiles("gateway-client-", gatewayClient),
    ...(gatewayCa === null ? [] : [authorityFile("--gateway-ca", gatewayCa)]),
  ];
}

function pairFiles(prefix: string, files: PemFiles | null): readonly NamedFiles[] {
  if (files === null) return [];
  const { certificate, key } = files;
  return pemFiles({ certificate: [`--${prefix}certificate`, certificate], key: [`--${prefix}key`, key] });
}

type Given = readonly [option: string, file: string | undefined];

function pair([option, certificate]: Given, [keyOption, key]: Given): PemFiles | null {
  if (certificate === undefined && key === undefined) return null;
  if (certificate !== undefined && key !== undefined) return { certificate, key };
  throw optionInvalid(`${option} and ${keyOption} are given together.`);
}

/** The files that an agent's configuration names, for `--check-config`. [CF4] */
import { EdgeToken } from "../link/edge-token.ts";
import { metricsFiles } from "../metrics/node/metrics-options.ts";
import { judgedFile, type NamedFiles, pemFiles } from "../process/named-files.ts";
import type { AgentConfig } from "./command-line.ts";
import type { CertificateFiles } from "./traffic/tls/listener-certificate.ts";

/** All of them; the token of one that joins is not there before. */
export function namedFilesOf(config: AgentConfig, isJoined: boolean): readonly NamedFiles[] {
  const { tokenFile, gatewayCertificate, proxyCertificate, metrics } = config;
  const ofEdge = judgedFile("--token-file", tokenFile, () => EdgeToken.open(tokenFile, "host"));
  return [
    ...(isJoined ? [] : [ofEdge]),
    ...pemFilesOf("gateway", gatewayCertificate),
    ...pemFilesOf("proxy", proxyCertificate),
    ...metricsFiles(metrics),
  ];
}

function pemFilesOf(whose: "gateway" | "proxy", files: CertificateFiles | null): readonly NamedFiles[] {
  if (files === null) return [];
  const { certificate, key, clientCa } = files;
  return pemFiles({
    certificate: [`--${whose}-certificate`, certificate],
    key: [`--${whose}-key`, key],
    authorities: clientCa === null ? null : [`--${whose}-client-ca`, clientCa],
  });
}

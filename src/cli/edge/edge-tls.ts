/**
 * What the self-hosted edge needs for TLS: its own certificate, the authorities of gateways, and what it
 * shows to gateways that ask. workerd reads them once; the configuration names the files, and holds none
 * of the keys. [TR8] [CI5]
 */
import { X509Certificate } from "node:crypto";
import { rm, symlink } from "node:fs/promises";
import { join, resolve } from "node:path";
import { readCertificateFiles } from "../../process/certificate-files.ts";
import { optionInvalid } from "../../process/command-options.ts";
import type { EdgePlace, PemFiles } from "./workerd-config.ts";
import { readSmallFile } from "../../process/small-file.ts";

/** As the operator gives them: files in PEM form. */
export interface EdgeTls {
  /** With which it speaks TLS itself; null for plain HTTP. */
  readonly certificate: PemFiles | null;
  /** Authorities of gateways, beside those that browsers trust. */
  readonly gatewayCa: string | null;
  /** What it shows to gateways whose clients need a certificate. */
  readonly gatewayClient: PemFiles | null;
}

/** What holds where nothing is said. */
export const NO_TLS: EdgeTls = { certificate: null, gatewayCa: null, gatewayClient: null };

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/** Checks the files and puts them beside the configuration; throws `option-invalid`. */
export async function prepareTls(
  directory: string,
  { certificate, gatewayCa, gatewayClient }: EdgeTls,
): Promise<Pick<EdgePlace, "certificate" | "gatewayAuthorities" | "clientCertificate">> {
  return {
    certificate: await beside(directory, "edge", "--certificate and --key", certificate),
    clientCertificate: await beside(
      directory,
      "gateway-client",
      "--gateway-client-certificate and --gateway-client-key",
      gatewayClient,
    ),
    gatewayAuthorities: gatewayCa === null ? [] : await authorities(gatewayCa),
  };
}

/** workerd embeds only what lies beside its configuration; a link keeps the key where it is. */
async function beside(
  directory: string,
  name: string,
  options: string,
  files: PemFiles | null,
): Promise<PemFiles | null> {
  const linked = { certificate: `${name}-certificate.pem`, key: `${name}-key.pem` };
  await Promise.all(Object.values(linked).map((file) => rm(join(directory, file), { force: true })));
  if (files === null) return null;
  try {
    // Throws where they do not belong together; workerd would only die of it.
    await readCertificateFiles(files.certificate, files.key);
  } catch (fault) {
    throw optionInvalid(`${options} cannot be used: ${(fault as Error).message}.`);
  }
  await symlink(resolve(files.certificate), join(directory, linked.certificate));
  await symlink(resolve(files.key), join(directory, linked.key));
  return linked;
}

/** Each by itself, since workerd takes only the first of a text. */
async function authorities(file: string): Promise<readonly string[]> {
  try {
    const found = (await readSmallFile(file)).match(CERTIFICATE) ?? [];
    if (found.length === 0) throw new Error(`there is no certificate in ${file}`);
    return found.map((text) => new X509Certificate(text).toString());
  } catch (fault) {
    throw optionInvalid(`--gateway-ca cannot be used: ${(fault as Error).message}.`);
  }
}

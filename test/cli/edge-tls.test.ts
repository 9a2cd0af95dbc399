/** TLS of the self-hosted edge: what workerd is told, and which files cannot be used. */
import { mkdtemp, readFile, readlink, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { NO_TLS, prepareTls } from "../../src/cli/edge/edge-tls.ts";
import { workerdConfig } from "../../src/cli/edge/workerd-config.ts";
import { parseWranglerConfig } from "../../src/cli/edge/wrangler-config.ts";
import { Authority, type MadeCertificate } from "../agent/certificates.ts";

const declaration = parseWranglerConfig(
  await readFile(new URL("../../wrangler.toml", import.meta.url), "utf8"),
);
const place = { host: "127.0.0.1", port: 8787, storage: "/state", assets: "/page", tunnels: "127.0.0.1:9" };

let authority: Authority;
let other: Authority;
let edge: MadeCertificate;
let directory: string;

beforeAll(async () => {
  [authority, other] = await Promise.all([Authority.make(), Authority.make("another")]);
  edge = await authority.sign("edge", "serverAuth");
  directory = await mkdtemp(join(tmpdir(), "ipshard-edge-tls-"));
});
afterAll(async () => {
  await Promise.all([authority.close(), other.close(), rm(directory, { recursive: true })]);
});

const CERTIFICATE = "edge-certificate.pem";

test("[TR8] [CI5] workerd is told of certificates and authorities, and no key stands in its configuration", async () => {
  const gatewayCa = join(directory, "both.pem");
  await writeFile(gatewayCa, `${await authority.text()}\n${await other.text()}`);
  const tls = await prepareTls(directory, { certificate: edge, gatewayCa, gatewayClient: edge });
  // workerd takes one certificate of a text.
  expect(tls.gatewayAuthorities).toHaveLength(2);
  const config = workerdConfig(declaration, { ...place, ...tls });
  expect(config).toContain(
    `https = (options = (), tlsOptions = (keypair = (privateKey = embed "edge-key.pem"`,
  );
  expect(config).toContain('trustBrowserCas = true, trustedCertificates = ["-----BEGIN CERTIFICATE-----');
  expect(config).toContain('certificateChain = embed "gateway-client-certificate.pem"');
  expect(config).not.toContain("PRIVATE KEY");
  expect(await readlink(join(directory, CERTIFICATE))).toBe(edge.certificate);
  expect(await readFile(join(directory, "edge-key.pem"), "utf8")).toBe(edge.keyText);
  // What is said no more is gone at the next start.
  expect(await prepareTls(directory, NO_TLS)).toEqual({
    certificate: null,
    clientCertificate: null,
    gatewayAuthorities: [],
  });
  await expect(readlink(join(directory, CERTIFICATE))).rejects.toThrow("ENOENT");
  expect(workerdConfig(declaration, place)).toContain('address = "127.0.0.1:8787", http = ()');
});

test("[TR8] files that cannot be used are refused by the option's name", async () => {
  const foreign = await other.sign("edge", "serverAuth");
  const mixed = { certificate: edge.certificate, key: foreign.key };
  const missing = { certificate: join(directory, "none"), key: edge.key };
  const empty = { certificate: join(directory, "empty"), key: edge.key };
  await writeFile(empty.certificate, "");
  for (const files of [mixed, missing, empty]) {
    await expect(prepareTls(directory, { ...NO_TLS, certificate: files })).rejects.toMatchObject({
      code: "option-invalid",
      message: expect.stringContaining("--certificate and --key"),
    });
    await expect(prepareTls(directory, { ...NO_TLS, gatewayClient: files })).rejects.toMatchObject({
      message: expect.stringContaining("--gateway-client-certificate"),
    });
  }
  for (const gatewayCa of [edge.key, join(directory, "none")]) {
    await expect(prepareTls(directory, { ...NO_TLS, gatewayCa })).rejects.toMatchObject({
      code: "option-invalid",
      message: expect.stringContaining("--gateway-ca"),
    });
  }
});
